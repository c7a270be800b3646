"""Reads the source and refuses what the house does not want."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.house import offences
from tests.house.source import ROOT, name_of, python_files, text_files, tree_of

CODE = python_files("djq", "djq_testing")
PRODUCT = python_files("djq")
TESTS = python_files("tests")

# A line here is a debt with its reason. Take lines out; put none in.
MAY_READ_TIME = {
    "djq/runtime/clock.py": "it is the clock",
    "djq/schedule.py": "the documented default of Schedule.next_run is Django's own",
    "djq/migrations/": "they repeat the models",
}
MAY_READ_SETTINGS = {"djq/conf.py": "it is the one reader"}
MAY_SLEEP = ("djq/runtime/",)
MAY_PATCH = ("tests/cluster/",)


def found(files: Iterable[Path], rule: Callable[[ast.Module], Iterable[str]]) -> list[str]:
    return [f"{name_of(path)}:{offence}" for path in files for offence in rule(tree_of(path))]


def outside(files: Iterable[Path], *places: str) -> list[Path]:
    return [path for path in files if not name_of(path).startswith(places)]


def test_files_fit_an_hour():
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in CODE}

    assert {name: n for name, n in lengths.items() if n > offences.FILE_LINES_MAX} == {}


def test_functions_fit_a_screen():
    assert found(CODE, offences.long_functions) == []


def test_only_the_clock_reads_the_time():
    assert found(outside(PRODUCT, *MAY_READ_TIME), offences.time_readings) == []


def test_only_the_runtime_sleeps():
    assert found(outside(PRODUCT, *MAY_SLEEP), offences.sleeps) == []


def test_only_conf_reads_the_settings():
    assert found(outside(PRODUCT, *MAY_READ_SETTINGS), offences.settings_readings) == []


def test_tests_neither_sleep_nor_patch():
    assert found(outside(TESTS, *MAY_PATCH), offences.patches) == []


def test_every_module_says_what_it_is_for():
    assert found(outside(CODE, "djq/migrations/"), offences.missing_docstring) == []


def test_every_file_postpones_annotations():
    files = [*outside(CODE, "djq/migrations/"), *TESTS, ROOT / "conftest.py"]

    assert found(files, offences.missing_annotations_import) == []


# Written with a letter in brackets, or this file would be its own offence.
UNWANTED = {
    "unfinished work": r"\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b",
    "a path of one machine": r"(?<![\w.$}])/(?:w[o]rk|r[o]ot|h[o]me|U[s]ers)/[\w.]",
    "a registry's host": r"p[y]pi\.org|python[h]osted\.org|registry\.[n]pmjs|deb\.[d]ebian",
}


def unwanted_words(text: str) -> list[str]:
    return [
        f"{number}: {what}: {match.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in UNWANTED.items()
        for match in re.finditer(pattern, line)
    ]


def test_nothing_unwanted_is_written_anywhere():
    texts = {name_of(path): path.read_text("utf-8", errors="replace") for path in text_files()}

    assert [f"{name}:{word}" for name, text in texts.items() for word in unwanted_words(text)] == []


def test_top_of_the_repository_holds_what_it_should():
    allowed = {"djq", "djq_testing", "tests", "docs", "pyproject.toml", "conftest.py", "README.md"}
    leavings = {"build", "dist", "__pycache__"}

    top = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}

    assert top - leavings == allowed


LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=name_of
)
def test_links_between_pages_lead_somewhere(page):
    targets = LINK.findall(page.read_text("utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_index_leads_to_every_page():
    docs = ROOT / "docs"
    linked = {docs / target for target in LINK.findall((docs / "index.md").read_text("utf-8"))}

    assert set(docs.rglob("*.md")) - linked == {docs / "index.md"}


def test_pictures_are_in_the_docs_in_three_looks_and_small():
    folder = ROOT / "docs" / "images"
    pages = [path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")]
    linked = {name for page in pages for name in re.findall(r"\]\(images/([^)]+)\)", page)}
    found = {path.name: path.stat().st_size for path in folder.iterdir()}
    subjects = {name.rpartition("-")[0] for name in found}

    assert set(found) == linked
    looks = {"light", "dark", "phone"}
    assert set(found) == {f"{subject}-{look}.png" for subject in subjects for look in looks}
    assert sum(found.values()) < 1_500_000
