"""What the plugin reads from pytest's configuration and markers."""

from __future__ import annotations

import pytest

from tests.kit.pages import OPTIONS, SETTINGS, run_tests

INI = """
djq_raises = true
djq_brokers = memory sqs orm
djq_clock_start = 2026-05-01T00:00Z
"""
TESTS = """
import pytest
from djq.brokers import get_broker
from djq.models import Task
from djq.tasks import async_task, result

pytestmark = pytest.mark.django_db


def test_raises_as_configured(djq_queue):
    async_task("math.sqrt", -1)
    with pytest.raises(ValueError, match="math domain error|nonnegative"):
        djq_queue.run_all()


@pytest.mark.djq_sync(raises=False)
def test_a_marker_goes_before_the_configuration(djq_sync):
    assert "ValueError" in result(async_task("math.sqrt", -1))


def test_each_broker(djq_broker):
    async_task("math.sqrt", 4)
    assert djq_broker is get_broker()
    assert djq_broker.queue_size() == 1
    print("broker", djq_broker.info(), djq_broker.bulk_limit)


@pytest.mark.djq_broker("redis")
def test_a_broker_of_its_own(djq_broker, djq_cluster):
    async_task("math.sqrt", 4, task_name="root")
    djq_cluster.run_until_idle()
    assert not djq_broker.receipts
    assert result("root") == 2


@pytest.mark.djq_cluster(workers=3, timeout=5)
class TestMarkers:
    @pytest.mark.djq_cluster(timeout=7)
    def test_of_a_class_and_of_a_test_go_together(self, djq_cluster):
        djq_cluster.takes("math.sqrt", seconds=9)
        async_task("math.sqrt", 4, task_name="late")
        djq_cluster.run_until_idle()
        assert result("late") == "TaskTimedOut: timed out after 7 s"
        assert len(djq_cluster.stat.workers) == 3


def test_the_clock_starts_as_configured(djq_clock):
    assert f"{djq_clock.now():%Y-%m-%d}" == "2026-05-01"


@pytest.mark.djq_clock("2026-06-01T00:00+02:00")
def test_the_clock_starts_as_marked(djq_clock):
    assert f"{djq_clock.now():%Y-%m-%d %H}" == "2026-05-31 22"


def test_the_cluster_uses_a_database_that_is_asked_for_after_it(djq_cluster, db):
    async_task("math.sqrt", 4)
    djq_cluster.run_until_idle()
    assert Task.objects.get().result == 2
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "page_settings.py").write_text(SETTINGS)
    (tmp_path / "pytest.ini").write_text(OPTIONS + INI)
    return tmp_path


def test_configuration_and_markers_are_obeyed(project):
    (project / "test_it.py").write_text(TESTS)

    run = run_tests(project, "-s")

    assert run.returncode == 0, run.stdout
    assert "10 passed" in run.stdout
    brokers = [line for line in run.stdout.splitlines() if "broker" in line]
    assert [line.split("broker ")[1] for line in brokers] == [
        "Memory None",
        "Amazon SQS, eu-west-1 10",
        "ORM default (sqlite) 300",
    ]
