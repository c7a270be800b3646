"""Packages that cannot be opened: each costs one line in the log, and nothing else."""

from __future__ import annotations

from django.test import override_settings
from django.utils import timezone

from djq.conf import make_signer
from djq.models import OrmQ, Task
from djq.tasks import async_task
from tests.cluster import tasks
from tests.cluster.harness import ALIAS, on


def package_of_another_cluster():
    with override_settings(Q_CLUSTER={"name": "another", "orm": ALIAS}):
        async_task(tasks.noop)
    row = OrmQ.objects.get(key="another")
    row.delete()
    return row.payload


def good_package():
    async_task(tasks.noop)
    row = OrmQ.objects.get()
    row.delete()
    return row.payload


@on("sqlite", "postgres")
def test_bad_packages_cost_one_line_each(make_project, kind):
    project = make_project(kind, workers=1)
    foreign = package_of_another_cluster()
    good = good_package()
    middle = len(good) // 2
    other = "A" if good[middle] != "A" else "B"
    bad = [
        good[:-10],
        good[: len(good) // 3],
        good[:middle] + other + good[middle + 1 :],
        "",
        foreign,
        "no package at all: \N{SNOWMAN}",
        make_signer("task", project.name).sign("p!!!"),
        make_signer("task", project.name).sign("zAAAA"),
    ]
    cluster = project.start()
    pusher = cluster.pids("pusher")

    for payload in bad:
        OrmQ.objects.create(key=project.name, payload=payload, available_at=timezone.now())
    async_task(tasks.note, project.file("runs"), "good")
    project.wait_for_outcomes(1, 5)

    # The pusher fails what it refused before its next look.
    cluster.wait_for_line("a package was refused", 2, count=len(bad))
    assert cluster.stop() == 0
    refused = [line for line in cluster.log_lines() if "a package was refused" in line]
    assert len(refused) == len(bad)
    assert all(line.startswith("ERROR ") for line in refused)
    assert [line for line in cluster.log_lines() if "reincarnates" in line] == []
    assert len(pusher) == 1
    assert f"pushing tasks at {pusher[0]}" in cluster.log
    assert Task.objects.get().result == "good"
    assert project.queued() == 0
