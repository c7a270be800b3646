"""Prometheus metrics: what `overview` shows of queues and their clusters, as a collector and as a view.

A scrape always has an answer: what cannot be read has no samples, and `djq_up` says so. Sums come from the
clusters themselves, each under its own host and id, since only so Prometheus sees whose sum began anew:
a sum over all would fall when a cluster goes, and what is left of it would pass for new.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import wait
from functools import partial
from itertools import accumulate
from typing import Any

import attrs
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from djq import assembly, overview
from djq.core.protocol import FuncTotal
from djq.core.totals import DURATION_BOUNDS
from djq.monitor import STATUS, Stat
from djq.overview import Overview
from djq.ports import Broker
from djq.runtime import scope
from djq.runtime.lookout import Lookout

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector as BaseCollector
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"djq.metrics needs the package {error.name}, which is not installed: "
        "pip install 'djq[prometheus]'",
        name=error.name,
    ) from error

__all__ = ["METRICS", "Collector", "Family", "exposition", "view"]

SECONDS_MAX = 5.0
"""How long broker and board may take; Prometheus waits for ten unless it is told otherwise."""
PARTS = ("queue", "clusters")
STATUSES = tuple(dict.fromkeys(["Starting", "Idle", "Working", *STATUS.values()]))
BOUNDS = (*[str(bound) for bound in DURATION_BOUNDS], "+Inf")

Gauge, Sum, Histogram = GaugeMetricFamily, CounterMetricFamily, HistogramMetricFamily


@attrs.frozen
class Family:
    """What there is to know of a metric before there is a sample of it."""

    kind: type[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]
    name: str
    labels: tuple[str, ...]
    help: str


QUEUE = ("queue",)
CLUSTER = ("queue", "host", "cluster")

METRICS = (
    Family(
        Gauge,
        "djq_up",
        (*QUEUE, "part"),
        "Whether a part could be read: queue (the broker) or clusters (the statistics). 1: it could.",
    ),
    Family(Gauge, "djq_queue_size", QUEUE, "Tasks that wait in the queue."),
    Family(
        Gauge,
        "djq_queue_locked",
        QUEUE,
        "Tasks that were taken from the queue and are not acknowledged, where the broker tells.",
    ),
    Family(
        Gauge,
        "djq_queue_oldest_age_seconds",
        QUEUE,
        "For how long the task waits that has waited longest, 0 when none waits, where the broker tells.",
    ),
    Family(Gauge, "djq_clusters", (*QUEUE, "status"), "Clusters by their status."),
    Family(
        Gauge, "djq_cluster_start_time_seconds", CLUSTER, "When the cluster began, in Unix time."
    ),
    Family(
        Gauge,
        "djq_cluster_service_up",
        (*CLUSTER, "service"),
        "Whether a service answers the cluster: broker, or store (of results and schedules). 1: it does.",
    ),
    Family(Gauge, "djq_workers", CLUSTER, "Workers that are ready."),
    Family(Gauge, "djq_tasks_running", CLUSTER, "Tasks that run now."),
    Family(
        Gauge, "djq_tasks_waiting", CLUSTER, "Tasks in the cluster's memory that do not run yet."
    ),
    Family(
        Gauge,
        "djq_results_unsaved",
        CLUSTER,
        "Outcomes in the cluster's memory that are not saved yet.",
    ),
    Family(
        Sum,
        "djq_tasks_total",
        (*CLUSTER, "func", "outcome"),
        "Outcomes that were kept: succeeded or failed. A task that is tried again counts each time.",
    ),
    Family(
        Histogram,
        "djq_task_duration_seconds",
        (*CLUSTER, "func"),
        "How long tasks ran in their workers, without their wait in the queue.",
    ),
    Family(
        Sum,
        "djq_restarts_total",
        (*CLUSTER, "reason"),
        "Processes that were replaced: recycle, max_rss, timeout, death, start or stop.",
    ),
)
"""Every metric, in the order in which they are shown."""


class Collector(BaseCollector):
    """Looks anew at each scrape; for a registry of yours: `registry.register(Collector())`."""

    def __init__(self, *brokers: Broker, seconds: float | None = SECONDS_MAX) -> None:
        """Say what to look at; nothing is asked before the first scrape.

        Args:
            *brokers: Whose queues, each of another name; the settings' own when there is none.
            seconds: How long the look at one queue may take. None: as long as its drivers wait.
        """
        self._brokers = brokers
        self._seconds = seconds
        self._lookouts = defaultdict[tuple[str, str], Lookout[Overview]](Lookout)
        """By queue and part: who hangs is not asked once more, or each scrape would leave a thread."""

    def describe(self) -> Iterable[Metric]:
        """The metrics without their samples, for a registry that wants to know the names."""
        return _Scrape().families.values()

    def collect(self) -> Iterable[Metric]:
        """The metrics of this moment.

        Raises:
            ConfigError: Q_CLUSTER or the broker's options have errors.
        """
        scrape = _Scrape()
        for broker in self._brokers or (assembly.broker_of_this_thread(),):
            scrape.take(broker.list_key, self._look(broker))
        return scrape.families.values()

    def _look(self, broker: Broker) -> Overview:
        if self._seconds is None:
            return overview.take(broker, parts=PARTS)
        asked = {
            part: self._lookouts[broker.list_key, part].ask(
                partial(overview.take, broker, parts=[part])
            )
            for part in PARTS
        }
        wait(asked.values(), timeout=self._seconds)
        found = {
            part: getattr(answer.result(), part) for part, answer in asked.items() if answer.done()
        }
        return Overview(at=assembly.surroundings().clock.now(), **found)


class _Scrape:
    """The metrics of one moment, on their way."""

    def __init__(self) -> None:
        self.families: dict[str, Any] = {
            family.name: family.kind(family.name, family.help, labels=family.labels)
            for family in METRICS
        }

    def tell(self, name: str, value: float, *labels: str) -> None:
        self.families[name].add_metric(labels, float(value))

    def take(self, name: str, seen: overview.Overview) -> None:
        for part in PARTS:
            self.tell("djq_up", getattr(seen, part) is not None, name, part)
        if seen.queue is not None:
            self._take_queue(name, seen.queue)
        if seen.clusters is not None:
            clusters = newest(seen.clusters)
            counts = Counter(stat.status for stat in clusters)
            for status in STATUSES:
                self.tell("djq_clusters", counts[status], name, status)
            for stat in clusters:
                self._take_cluster((name, stat.host, str(stat.cluster_id)), stat)

    def _take_queue(self, name: str, queue: overview.QueueNow) -> None:
        self.tell("djq_queue_size", queue.size, name)
        if queue.locked is not None:
            self.tell("djq_queue_locked", queue.locked, name)
        if queue.oldest_seconds is not None:
            self.tell("djq_queue_oldest_age_seconds", queue.oldest_seconds, name)

    def _take_cluster(self, labels: tuple[str, ...], stat: Stat) -> None:
        if stat.tob is not None:
            self.tell("djq_cluster_start_time_seconds", stat.tob.timestamp(), *labels)
        services = {"broker": stat.broker_away_since, "store": stat.store_away_since}
        for service, away_since in services.items():
            self.tell("djq_cluster_service_up", away_since is None, *labels, service)
        self.tell("djq_workers", len(stat.workers), *labels)
        self.tell("djq_tasks_running", len(stat.running), *labels)
        self.tell("djq_tasks_waiting", stat.task_q_size, *labels)
        self.tell("djq_results_unsaved", stat.done_q_size, *labels)
        for total in stat.by_func:
            self._take_function(labels, total)
        for reason, count in attrs.asdict(stat.restarts).items():
            self.tell("djq_restarts_total", count, *labels, reason)

    def _take_function(self, labels: tuple[str, ...], total: FuncTotal) -> None:
        self.tell("djq_tasks_total", total.succeeded, *labels, total.func, "succeeded")
        self.tell("djq_tasks_total", total.failed, *labels, total.func, "failed")
        if total.durations:
            buckets = list(zip(BOUNDS, accumulate(total.durations), strict=True))
            family = self.families["djq_task_duration_seconds"]
            family.add_metric((*labels, total.func), buckets, total.seconds)


def newest(clusters: Sequence[Stat]) -> list[Stat]:
    """One cluster for each host and id: a container that starts again often has both as before."""
    youngest = sorted(clusters, key=lambda stat: (stat.tob or stat.now, stat.now))
    return list({(stat.host, stat.cluster_id): stat for stat in youngest}.values())


_of_settings = Collector()
"""One for all answers, which then know of each other what hangs."""


def exposition(accept: str = "") -> tuple[bytes, str]:
    """The metrics of the settings' own queue as text, and the type of the text.

    Args:
        accept: What a client's header of that name says: OpenMetrics, or the older format of Prometheus.

    Raises:
        ConfigError: Q_CLUSTER or the broker's options have errors.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_of_settings)
    return encode(registry), content_type


@scope.outside_transactions
@never_cache
@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """The metrics, for a path of yours. It asks nobody who he is: see docs/monitoring.md."""
    body, content_type = exposition(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type)
