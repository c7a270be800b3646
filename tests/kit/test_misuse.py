"""Whoever asks the plugin for what cannot be is told so, and by a sentence that helps."""

from __future__ import annotations

import pytest

from tests.kit.pages import OPTIONS, SETTINGS, run_tests

IN_MEMORY = """
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
MISUSES = {
    "two": ("", "djq_queue, djq_sync", "djq_queue and djq_sync exclude one another"),
    "broker": ("", "djq_queue, djq_broker", "djq_queue and djq_broker exclude one another"),
    "live": ("", "djq_live_cluster, djq_clock", "djq_live_cluster and djq_clock exclude"),
    "keyword": (
        "djq_queue(rises=True)",
        "djq_queue",
        "@pytest.mark.djq_queue does not take rises; it takes raises, store",
    ),
    "position": (
        "djq_live_cluster(5)",
        "djq_live_cluster",
        "djq_live_cluster does not take 5; it takes settings as in Q_CLUSTER, by name",
    ),
    "store": ("djq_sync(False, 'x')", "djq_sync", "store is 'x'; it must be 'database' or 'mem"),
    "moment": ("djq_clock('soon')", "djq_clock", "'soon' is no moment; give an aware datetime"),
    "kind": ("djq_clock(start=5)", "djq_clock", "5 is no moment; give an aware datetime"),
    "naive": ("djq_clock('2026-03-01')", "djq_clock", "has no time zone; give an aware datetime"),
    "none": ("djq_broker", "djq_broker", "'' is no broker of djq_broker; there are memory, orm"),
    "setting": ("djq_cluster(wrokers=3)", "djq_cluster, db", "Did you mean 'workers'"),
    "memory": ("", "djq_live_cluster", "is SQLite in memory, which no other process sees; give it"),
    "kafka": ("djq_broker('kafka')", "djq_broker", "'kafka' is no broker of djq_broker; there are"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What pytest says of a file in which each test misuses the plugin in one way."""
    folder = tmp_path_factory.mktemp("misuse")
    tests = [
        f"{f'@pytest.mark.{mark}' if mark else ''}\ndef test_{name}({fixtures}): pass\n"
        for name, (mark, fixtures, _) in MISUSES.items()
    ]
    (folder / "test_misuse.py").write_text("\n".join(["import pytest", *tests]))
    (folder / "page_settings.py").write_text(SETTINGS + IN_MEMORY)
    (folder / "pytest.ini").write_text(OPTIONS)
    return run_tests(folder, "--tb=line").stdout


@pytest.mark.parametrize("name", MISUSES)
def test_a_misuse_is_told(told, name):
    assert MISUSES[name][2] in told


def test_each_of_them_is_an_error(told):
    assert f"{len(MISUSES)} errors in " in told
