"""Metrics, read with Prometheus' own parser: from a cluster in process, and with what is away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from io import StringIO
from urllib.error import URLError
from urllib.request import urlopen

import attrs
import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import RequestFactory
from django.urls import path
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from djq import metrics
from djq.brokers import Broker
from djq.core.totals import DURATION_BOUNDS
from djq.exceptions import BoardUnavailable, BrokerUnavailable
from djq.monitor import FuncTotal, Restarts, Running, Stat, written
from djq.tasks import async_task
from djq.wiring import wired
from djq_testing.cluster import LocalCluster
from tests.house.source import ROOT

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
REPORT, BREAK = "math.sqrt", "math.log"
RUNNING = Running("a" * 32, "green-nine", REPORT, 17006, NOON, 1)
FULL = Stat(
    cluster_id=1234,
    host="orion",
    tob=NOON,
    now=NOON + timedelta(seconds=75),
    status="Working",
    workers=(17006, 17007),
    running=(RUNNING,),
    task_q_size=23,
    done_q_size=2,
    store_away_since=NOON,
    by_func=(FuncTotal(REPORT, 700, 99, 1_234.5, (0,) * 4 + (790, 8) + (0,) * 6 + (1,)),),
    restarts=Restarts(recycle=5, death=1),
)
OF_FULL = {"queue": "tests", "host": "orion", "cluster": "1234"}

urlpatterns = [path("metrics", metrics.view)]


class Queue(Broker):
    """A queue with seven packages in it."""

    def queue_size(self):
        return 7

    def lock_size(self):
        return 2


class Away(Broker):
    """A broker whose server is gone."""

    def queue_size(self):
        raise BrokerUnavailable("no route to the queue")


class Board:
    """A board with these pictures. None: it is away."""

    def __init__(self, *stats):
        self.stats = stats

    def read(self):
        if None in self.stats:
            raise BoardUnavailable("no route to the board")
        return [written(stat) for stat in self.stats]


def samples(text, parse=text_string_to_metric_families):
    """Each sample's value by its name and labels; none comes twice."""
    found = {}
    for family in parse(text):
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def key(name, **labels):
    return (name, *sorted(labels.items()))


def scrape(*stats, broker=Queue, accept=""):
    with wired(broker=lambda _config, _name: broker("tests"), board=Board(*stats)):
        body, _ = metrics.exposition(accept)
    return body.decode()


def seen(*stats, broker=Queue):
    return samples(scrape(*stats, broker=broker))


# From a cluster.


def test_a_cluster_tells_what_it_did_through_the_view(settings, client):
    settings.ROOT_URLCONF = __name__
    with LocalCluster(workers=2, store="memory", name="shop") as cluster:
        cluster.takes(REPORT, seconds=20)
        for number in (4, 9, 16):
            async_task(REPORT, number)
        async_task(BREAK, 0)
        cluster.run_until_idle()
        async_task(REPORT, 25)
        cluster.advance(5)
        cluster.kill("worker", slot=0)
        cluster.kill("worker", slot=1)
        cluster.run_until_idle()
        for number in (1, 2, 3):
            async_task(REPORT, number)
        with wired(board=Board(cluster.stat)):
            answer = client.get("/metrics")
        stat = cluster.stat
    found = samples(answer.content.decode())
    of = {"queue": "shop", "host": stat.host, "cluster": str(stat.cluster_id)}

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in answer["Cache-Control"]
    assert found[key("djq_up", queue="shop", part="queue")] == 1
    assert found[key("djq_queue_size", queue="shop")] == 3
    assert found[key("djq_clusters", queue="shop", status="Idle")] == 1
    assert found[key("djq_workers", **of)] == 2
    assert found[key("djq_tasks_total", **of, func=REPORT, outcome="succeeded")] == 4
    assert found[key("djq_tasks_total", **of, func=BREAK, outcome="failed")] == 1
    assert found[key("djq_task_duration_seconds_count", **of, func=REPORT)] == 4
    assert found[key("djq_task_duration_seconds_sum", **of, func=REPORT)] == 80
    assert found[key("djq_task_duration_seconds_bucket", **of, func=REPORT, le="10.0")] == 0
    assert found[key("djq_task_duration_seconds_bucket", **of, func=REPORT, le="30.0")] == 4
    assert found[key("djq_restarts_total", **of, reason="death")] == 2


def test_a_picture_becomes_samples():
    found = seen(FULL)

    assert found[key("djq_cluster_start_time_seconds", **OF_FULL)] == NOON.timestamp()
    assert found[key("djq_cluster_service_up", **OF_FULL, service="broker")] == 1
    assert found[key("djq_cluster_service_up", **OF_FULL, service="store")] == 0
    assert found[key("djq_tasks_running", **OF_FULL)] == 1
    assert found[key("djq_tasks_waiting", **OF_FULL)] == 23
    assert found[key("djq_results_unsaved", **OF_FULL)] == 2
    assert found[key("djq_restarts_total", **OF_FULL, reason="recycle")] == 5
    assert found[key("djq_restarts_total", **OF_FULL, reason="timeout")] == 0
    assert found[key("djq_clusters", queue="tests", status="Working")] == 1
    assert found[key("djq_clusters", queue="tests", status="Stopped")] == 0
    assert found[key("djq_queue_locked", queue="tests")] == 2


def test_buckets_of_durations_hold_those_before_them():
    found = seen(FULL)
    buckets = {
        labels["le"]: value
        for (name, *pairs), value in found.items()
        if name == "djq_task_duration_seconds_bucket" and (labels := dict(pairs))
    }

    assert [float(bound) for bound in buckets] == [*DURATION_BOUNDS, float("inf")]
    assert list(buckets.values()) == [0, 0, 0, 0, 790, *[798] * 7, 799]
    assert found[key("djq_task_duration_seconds_count", **OF_FULL, func=REPORT)] == 799
    assert found[key("djq_task_duration_seconds_sum", **OF_FULL, func=REPORT)] == 1_234.5


def test_functions_of_a_cluster_with_other_bounds_have_no_durations():
    other = attrs.evolve(FULL, by_func=(attrs.evolve(FULL.by_func[0], durations=(5, 794)),))
    found = seen(other)

    assert found[key("djq_tasks_total", **OF_FULL, func=REPORT, outcome="failed")] == 99
    assert not [name for name, *_ in found if name.startswith("djq_task_duration")]


def test_a_host_that_starts_its_cluster_again_under_the_same_pid_has_one():
    before = attrs.evolve(FULL, status="Stopped")
    again = attrs.evolve(FULL, tob=NOON + timedelta(seconds=80), by_func=())
    found = seen(again, before, attrs.evolve(FULL, host="phoenix"))

    assert found[key("djq_cluster_start_time_seconds", **OF_FULL)] == NOON.timestamp() + 80
    assert key("djq_tasks_total", **OF_FULL, func=REPORT, outcome="failed") not in found
    assert found[key("djq_clusters", queue="tests", status="Working")] == 2
    assert found[key("djq_clusters", queue="tests", status="Stopped")] == 0


# What is away.


def test_a_broker_that_is_away_leaves_the_clusters():
    found = seen(FULL, broker=Away)

    assert found[key("djq_up", queue="tests", part="queue")] == 0
    assert found[key("djq_up", queue="tests", part="clusters")] == 1
    assert key("djq_queue_size", queue="tests") not in found
    assert found[key("djq_workers", **OF_FULL)] == 2


def test_a_board_that_is_away_leaves_the_queue():
    found = seen(None)

    assert found[key("djq_up", queue="tests", part="queue")] == 1
    assert found[key("djq_up", queue="tests", part="clusters")] == 0
    assert found[key("djq_queue_size", queue="tests")] == 7
    assert {name for name, *_ in found} == {"djq_up", "djq_queue_size", "djq_queue_locked"}


def test_the_view_answers_when_all_is_away():
    with wired(broker=lambda _config, _name: Away("tests"), board=Board(None)):
        answer = metrics.view(RequestFactory().get("/metrics"))

    assert answer.status_code == 200
    assert set(samples(answer.content.decode()).values()) == {0}


def test_what_a_broker_cannot_tell_has_no_sample():
    found = seen(broker=Broker)

    assert found[key("djq_queue_size", queue="tests")] == 0
    assert not [
        name for name, *_ in found if name in {"djq_queue_locked", "djq_queue_oldest_age_seconds"}
    ]


def test_the_age_is_that_of_what_waits_longest():
    with LocalCluster(store="memory", broker="memory", name="shop") as cluster:
        cluster.stop()
        async_task(REPORT, 4)
        cluster.clock.advance(40)
        async_task(REPORT, 9)
        cluster.clock.advance(2)
        found = samples(metrics.exposition()[0].decode())

    assert found[key("djq_queue_oldest_age_seconds", queue="shop")] == 42


def test_a_request_is_no_transaction():
    """With ATOMIC_REQUESTS a database that is away would be an error before the view begins."""
    assert metrics.view._non_atomic_requests >= set(connections)


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_the_view_only_shows(method):
    answer = metrics.view(getattr(RequestFactory(), method)("/metrics"))

    assert answer.status_code == 405


# Formats and registries.


def test_who_asks_for_openmetrics_gets_it():
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    text = scrape(FULL, accept=accept)

    assert text.endswith("# EOF\n")
    assert samples(text, openmetrics.text_string_to_metric_families) == seen(FULL)


def test_a_registry_learns_the_names_and_asks_nobody_before_a_scrape():
    def refuse(_config, _name):
        raise AssertionError("the broker was asked")

    registry = CollectorRegistry(auto_describe=True)
    with wired(broker=refuse):
        registry.register(metrics.Collector())

    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(metrics.Collector())


def test_one_collector_shows_several_queues():
    registry = CollectorRegistry()
    brokers = {name: Queue(name) for name in ("mail", "films")}
    registry.register(metrics.Collector(*brokers.values()))
    with wired(broker=lambda _config, name: brokers[name], board=Board()):
        found = samples(generate_latest(registry).decode())

    sizes = {pairs[0][1]: value for (name, *pairs), value in found.items() if "size" in name}
    assert sizes == {"mail": 7, "films": 7}


def test_a_look_that_takes_too_long_is_no_look():
    class Slow(Queue):
        def queue_size(self):
            never.wait(10)
            return 7

    never = threading.Event()
    with wired(broker=lambda _config, _name: Slow("tests"), board=Board(FULL)):
        families = {family.name: family for family in metrics.Collector(seconds=0.05).collect()}

    never.set()
    up = {sample.labels["part"]: sample.value for sample in families["djq_up"].samples}
    assert up == {"queue": 0, "clusters": 1}


def test_what_hangs_costs_one_thread_however_often_it_is_scraped():
    asked, let_go = [], threading.Event()

    class Hanging(Queue):
        def queue_size(self):
            asked.append(threading.current_thread())
            let_go.wait(10)
            return 7

    own = metrics.Collector(Hanging("tests"), seconds=0.05)
    with wired(broker=lambda _config, _name: Hanging("tests"), board=Board(FULL)):
        for _ in range(3):
            assert [family.name for family in own.collect()]
        was_asked = len(asked)
        let_go.set()
        asked[0].join(10)
        families = {family.name: family for family in own.collect()}

    assert was_asked == 1
    assert families["djq_queue_size"].samples[0].value == 7


def test_clusters_that_nobody_can_see_are_away(settings):
    settings.Q_CLUSTER = {"name": "tests", "broker_class": f"{__name__}.Queue"}

    found = samples(metrics.exposition()[0].decode())

    assert found[key("djq_up", queue="tests", part="queue")] == 1
    assert found[key("djq_up", queue="tests", part="clusters")] == 0


# Names.


def test_the_page_lists_every_metric_as_it_is():
    lines = (ROOT / "docs/monitoring.md").read_text("utf-8").splitlines()
    kinds = {"GaugeMetricFamily": "gauge", "CounterMetricFamily": "counter"}
    wanted = [
        f"| `{family.name}` | {kinds.get(family.kind.__name__, 'histogram')} | "
        f"{', '.join(f'`{label}`' for label in family.labels)} | {family.help} |"
        for family in metrics.METRICS
    ]

    assert [line for line in lines if line.startswith("| `djq_")] == wanted


def test_every_metric_has_its_help_in_an_answer():
    text = scrape(FULL)

    for family in metrics.METRICS:
        assert f"# HELP {family.name} {family.help}\n" in text


MISSING = """
import sys
sys.modules["prometheus_client"] = None
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["djq"], Q_CLUSTER={"orm": "default"})
django.setup()
import djq, djq.overview
from django.core.management import CommandError, call_command
try:
    call_command("qmetrics", port=0)
except CommandError as error:
    print(error)
import djq.metrics
"""


def test_without_the_library_it_is_told_what_to_install_and_nothing_else_minds():
    done = subprocess.run(
        [sys.executable, "-c", MISSING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    wanted = (
        "djq.metrics needs the package prometheus_client, which is not installed: "
        "pip install 'djq[prometheus]'"
    )

    assert done.stdout.strip() == wanted
    assert done.stderr.strip().splitlines()[-1] == f"ModuleNotFoundError: {wanted}"


# The command, before it serves.


@pytest.mark.parametrize("port", ["70000", "-1", "http", "9.5", "²"])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(CommandError, match="no port; it must be a whole number from 0 to 65535"):
        call_command("qmetrics", f"--port={port}")


def test_a_host_that_is_none_is_refused():
    with pytest.raises(CommandError, match=r"cannot listen on 192\.0\.2\.1, port 0.*--host"):
        call_command("qmetrics", host="192.0.2.1", port=0)


def test_settings_that_are_wrong_are_a_sentence(settings):
    settings.Q_CLUSTER = {"orm": "default", "workers": 0}

    with pytest.raises(CommandError, match="'workers'"):
        call_command("qmetrics", port=0)


def test_a_port_that_is_taken_is_refused():
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        wanted = (
            rf"cannot listen on 127\.0\.0\.1, port {port}: Address already in use; choose others"
        )
        with pytest.raises(CommandError, match=wanted):
            call_command("qmetrics", port=port)


# The command in a program that goes on after it.


class Line(StringIO):
    """Where the command writes; somebody waits for its first line."""

    def __init__(self, hear):
        super().__init__()
        self._hear = threading.Thread(target=hear, args=[self])

    def flush(self):
        if not self._hear.ident:
            self._hear.start()


def test_a_program_that_calls_it_has_its_signals_and_the_port_back():
    answers = []

    def scrape_and_end(out):
        url = out.getvalue().split()[3].rstrip(";")
        with urlopen(url, timeout=10) as answer:
            answers.append((url, answer.headers["Content-Type"], answer.read().decode()))
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with wired(broker=lambda _config, _name: Queue("tests"), board=Board(FULL)):
        call_command("qmetrics", port=0, stdout=Line(scrape_and_end))
    ((url, content_type, text),) = answers

    assert samples(text) == seen(FULL)
    assert content_type.startswith("text/plain; version=")
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(URLError, match="refused"):
        urlopen(url, timeout=10)
