"""Real clusters whose tasks fail: what Rollbar, Sentry, a function and the log are told of it."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from djq.tasks import async_task, fetch
from tests.cluster import tasks
from tests.cluster.harness import ROOT, wait_until
from tests.reporters.recorder import recording

SECONDS = 15
"""Where a worker waited for each report, or a stop for all of them, it would take minutes."""
LOGGING = """
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "json_logs.JsonFormatter"}},
    "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {"djq": {"handlers": ["json"], "level": "INFO", "propagate": False}},
}
"""


@pytest.fixture
def server():
    with recording() as recorder:
        yield recorder


def log_json(project):
    """Have the project's log written by the formatter of the docs."""
    page = (ROOT / "docs" / "reporting.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n([^`]*class JsonFormatter[^`]*)```", page)
    (project.folder / "json_logs.py").write_text(code)
    with (project.folder / "project_settings.py").open("a") as settings:
        settings.write(LOGGING)


def test_failures_timeouts_and_deaths_reach_every_reporter_and_the_log(make_project, server):
    project = make_project(
        rollbar=server.rollbar,
        error_reporter={
            "sentry": server.sentry,
            "tests.cluster.tasks.write_report": {"path": "reports"},
        },
        max_attempts=2,
    )
    log_json(project)
    cluster = project.start()

    def wait_for_reports(count):
        wait_until(
            lambda: (
                len(server.items) == len(server.events) == len(project.lines("reports")) == count
            ),
            SECONDS,
            f"{count} reports everywhere",
            lambda: f"{len(server.items)} {len(server.events)}\n{project.tails()}",
        )

    ids = {"ZeroDivisionError": async_task("operator.truediv", 987_654_321, 0, group="letters")}
    # A worker that is killed by its next task may take a report along.
    wait_for_reports(1)
    ids |= {
        "TaskTimedOut": async_task(tasks.nap, 60, timeout=0.3),
        "WorkerDied": async_task(tasks.kill_itself),
    }
    told = Counter({"ZeroDivisionError": 1, "TaskTimedOut": 1, "WorkerDied": 2})
    wait_for_reports(4)
    code = cluster.stop()

    items = [(item["body"]["trace"]["exception"]["class"], item["custom"]) for item in server.items]
    events = [
        (event["exception"]["values"][-1]["type"], event["contexts"]["djq"])
        for event in server.events
    ]
    lines = [(line["error"], line["about"]) for line in map(json.loads, project.lines("reports"))]
    for reports in (items, events, lines):
        assert Counter(kind for kind, _ in reports) == told
        assert {kind: about["task_id"] for kind, about in reports} == ids
        assert {about["cluster"] for _, about in reports} == {project.name}
        assert [about["group"] for kind, about in reports if kind == "ZeroDivisionError"] == [
            "letters"
        ]
        assert {about["attempt"] for kind, about in reports if kind == "WorkerDied"} == {1, 2}
    assert "987654321" not in " ".join(text for *_, text in server.bodies) + cluster.log
    assert code == 0

    logged = [json.loads(line) for line in cluster.log.splitlines() if line.startswith("{")]
    assert {line["cluster"] for line in logged} == {project.name}
    (failed,) = [line for line in logged if line.get("task_id") == ids["ZeroDivisionError"]]
    assert failed["message"].startswith("Failed [")
    assert (failed["func"], failed["group"]) == ("operator.truediv", "letters")
    assert (failed["attempt"], failed["success"]) == (1, False)
    assert 0 <= failed["duration"] < SECONDS
    ready = {line["role"]: line["pid"] for line in logged if "monitoring at" in line["message"]}
    assert ready["monitor"] != cluster.pid


def test_a_service_that_hangs_holds_up_neither_tasks_nor_the_stop(make_project, server):
    server.hangs = True
    project = make_project(error_reporter={"sentry": server.sentry}, workers=1)
    cluster = project.start()
    ids = [async_task("operator.truediv", number, 0) for number in range(40)]
    project.wait_for_outcomes(40, SECONDS)
    code = cluster.stop(SECONDS)

    assert [fetch(id).success for id in ids] == [False] * 40
    assert code == 0
    assert "an error could not be reported: 20 reports wait already" in cluster.log
    assert "reports were not delivered within 2 s" in cluster.log
