"""What the settings mean: one frozen value of all of Q_CLUSTER, or all that is wrong with it.

`parse` decides and reads nothing: the mapping, the number of processors and the time zone are
handed in. It finds every problem at once, so that nobody has to correct settings one run at a
time. Where there is an error there is no `Config`; with warnings alone there is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import attrs

from djq.core.rules import BROKER_KEYS, NOT_YET, RULES, Problem, hidden, shown

__all__ = ["BROKER_KEYS", "NOT_YET", "RULES", "Config", "Problem", "parse", "shown"]


@attrs.frozen(kw_only=True)
class Config:
    """The settings of one cluster, complete and checked. Secrets do not show in its repr."""

    name: str = "default"
    """Name of the queue, and part of every signature; 1 to 100 printable characters."""

    workers: int
    """Worker processes, 1 to 1000; by default one for each processor."""

    recycle: int | None = 500
    """Tasks after which a worker is replaced, at least 1. None: never."""

    timeout: float | None = None
    """Seconds that one run of a task may take, above 0. None: no limit."""

    retry: float = 60
    """Seconds that the broker waits for a silent cluster before it delivers again, above 0."""

    compress: bool = False
    """Whether packages are compressed where that makes them smaller."""

    save_limit: int = 250
    """Most successes kept. 0: all of them. Below 0: none."""

    sync: bool = False
    """Whether tasks run at once in the process that asks for them."""

    queue_limit: int | None = None
    """Most tasks waiting in memory, at least 1. None: twice the workers; more of short tasks."""

    label: str = "Django Q"
    """Heading of the admin page; not empty."""

    catch_up: bool = True
    """Whether schedules run once for each slot that was missed."""

    redis: Mapping[str, Any] | str | None = attrs.field(default=None, repr=False)
    """Options of redis-py and `receipts` (bool), or a URL. None: the local server, if no other is set."""

    django_redis: str | None = None
    """Alias of a django-redis cache whose connections are taken. None: not used."""

    disque_nodes: tuple[str, ...] | None = attrs.field(default=None, repr=False)
    """Disque servers as `host:port`, at least one. None: not used."""

    disque_auth: str | None = attrs.field(default=None, repr=False)
    """Password of the Disque servers. None: they ask for none."""

    disque_fastack: bool = False
    """Whether Disque is to acknowledge without a round of its servers."""

    iron_mq: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """Options of iron-mq. None: not used."""

    sqs: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """Region and credentials for Amazon SQS. None: not used."""

    orm: str | None = None
    """Alias of the Django database that holds the queue. None: not used."""

    orm_notify: bool = True
    """Whether a queue in PostgreSQL wakes clusters that wait, by LISTEN and NOTIFY."""

    mongo: Mapping[str, Any] | str | None = attrs.field(default=None, repr=False)
    """Options of pymongo's MongoClient, or a URI. None: not used."""

    mongo_db: str | None = None
    """MongoDB database of the queue. None: the connection's own, else `django-q`."""

    broker_class: str | None = None
    """Dotted path of a subclass of `djq.brokers.Broker`. None: not used."""

    bulk: int | None = None
    """Most packages in one call to the broker, at least 1. None: as many as there is room for."""

    poll: float = 0.2
    """Seconds between looks into an empty queue that cannot wake the cluster, above 0."""

    cache: str = "default"
    """Alias of the Django cache that holds the statistics."""

    cached: bool | float = False
    """Whether results go to the cache; a number: for how many seconds, above 0."""

    scheduler: bool = True
    """Whether this cluster looks after the schedules."""

    rollbar: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """Options of Rollbar. Empty: not used."""

    cpu_affinity: int = 0
    """Processors that each worker may use, at least 0. 0: all of them."""

    log_level: str = "INFO"
    """Level of the `djq` logger: DEBUG, INFO, WARNING, ERROR or CRITICAL."""

    ack_failures: bool = True
    """Whether a task that failed counts as delivered; else the broker presents it again."""

    max_attempts: int = 3
    """Deliveries of one task without an outcome before it is recorded as failed, 1 to 10000."""

    guard_cycle: float = 0.5
    """Seconds between statistics, above 0."""

    stop_timeout: float | None = None
    """Seconds that a stop may take before work is cut short, above 0. None: as long as it takes."""

    time_zone: str
    """Zone in which schedules keep their wall time; by default TIME_ZONE."""

    max_rss: int | None = None
    """MiB of resident memory after which a worker is replaced, at least 1. None: no limit."""

    error_reporter: Mapping[str, Any] | str = attrs.field(factory=dict, repr=False)
    """Options of error reporters by name, or a dotted path. Empty: none."""

    on_commit: bool = False
    """Whether a task asked for in a transaction is sent when that commits."""

    encrypt: bool = False
    """Whether packages are encrypted as well as signed."""

    max_payload: int = 64 * 1024 * 1024
    """Most characters of one package, and most bytes of it unpacked; at least 1024."""

    @property
    def reporters(self) -> Mapping[str, Mapping[str, Any]]:
        """The options of every error reporter, by its name or dotted path."""
        named = self.error_reporter
        found = {named: {}} if isinstance(named, str) else {key: named[key] for key in named}
        if self.rollbar:
            found["rollbar"] = {**found.get("rollbar", {}), **self.rollbar}
        return found

    @property
    def broker_name(self) -> str:
        """The key that chooses the broker; the default is "redis"."""
        return next((key for key in BROKER_KEYS if getattr(self, key) is not None), "redis")

    @property
    def keeps_redis_receipts(self) -> bool:
        """Whether what is taken off the queue in Redis stays there until it is acknowledged."""
        return isinstance(self.redis, Mapping) and self.redis.get("receipts") is True


_DEFAULTS = Config(workers=1, time_zone="UTC")


def parse(
    raw: object, *, cpu_count: int, time_zone: str
) -> tuple[Config | None, tuple[Problem, ...]]:
    """Read Q_CLUSTER: give the config, and every problem found; never raises.

    The config is None exactly when one of the problems is no warning. `cpu_count` and `time_zone`
    stand in for `workers` and `time_zone` where these are left out or None.
    """
    if not isinstance(raw, Mapping):
        return None, (
            Problem(
                key="",
                code="E001",
                message=f"Q_CLUSTER is {shown(raw)}; it has to be a dict.",
                hint="Write Q_CLUSTER = {'name': 'myproject', 'orm': 'default'}.",
            ),
        )
    problems = list(_wrong_values(raw))
    wrong = {problem.key for problem in problems}
    values: dict[str, Any] = {
        key: _plain(value) for key, value in raw.items() if key in RULES and key not in wrong
    }
    if values.get("workers") is None:
        values["workers"] = cpu_count
    if values.get("time_zone") is None:
        values["time_zone"] = time_zone
    if "log_level" in values:
        values["log_level"] = values["log_level"].upper()
    config = Config(**values)
    problems += _not_yet(config)
    problems += _cross_rules(config, wrong)
    if all(problem.warning for problem in problems):
        return config, tuple(problems)
    return None, tuple(problems)


def _wrong_values(raw: Mapping[Any, object]) -> Iterator[Problem]:
    for key, value in raw.items():
        rule = RULES.get(key) if isinstance(key, str) else None
        if rule is None:
            yield _unknown(key)
        elif not rule.accepts(value):
            what = hidden(value) if rule.secret else shown(value)
            yield Problem(
                key=key,
                code="E003",
                message=f"Q_CLUSTER['{key}'] is {what}; allowed is {rule.allowed}.",
                hint=f"Change it, or leave it out: the default is {_default_of(key)}.",
            )


def _unknown(key: object) -> Problem:
    # Long keys are cut, since the comparison takes the square of their length.
    text = key[:100].lower() if isinstance(key, str) else ""
    near = difflib.get_close_matches(text, RULES, n=1)
    return Problem(
        key=key if isinstance(key, str) else "",
        code="E002",
        message=f"Q_CLUSTER has the key {shown(key)}, which djq does not know.",
        hint=f"Did you mean '{near[0]}'?"
        if near
        else f"Remove it. The keys are: {', '.join(sorted(RULES))}.",
    )


def _default_of(key: str) -> str:
    words = {"workers": "the number of processors", "time_zone": "TIME_ZONE"}
    return words.get(key, repr(getattr(_DEFAULTS, key)))


def _plain(value: object) -> object:
    """Copy what the settings module could still change."""
    if isinstance(value, Mapping):
        return dict(value)
    return tuple(value) if isinstance(value, list) else value


def _not_yet(config: Config) -> Iterator[Problem]:
    for key, way_out in NOT_YET.items():
        if getattr(config, key) != getattr(_DEFAULTS, key):
            yield Problem(
                key=key,
                code="E004",
                message=f"Q_CLUSTER['{key}'] is set, and what it asks for is not there yet.",
                hint=way_out,
            )


def _cross_rules(config: Config, wrong: AbstractSet[str]) -> Iterator[Problem]:
    """Find what is doubtful about settings that are right each for itself.

    A key that is wrong by itself has its default in `config`, of which nothing is to be said.
    """
    are_right = wrong.isdisjoint({"retry", "timeout"})
    if are_right and config.timeout is not None and config.retry <= config.timeout:
        yield Problem(
            key="retry",
            code="W001",
            message=f"Q_CLUSTER['retry'] is {config.retry}, not above the timeout of "
            f"{config.timeout} s. No task runs twice for it, since leases are renewed, but "
            "a cluster that is held up for that long loses its tasks to another.",
            hint=f"Set 'retry' above {config.timeout}, or 'timeout' below {config.retry}.",
        )
    brokers = [key for key in BROKER_KEYS if getattr(config, key) is not None]
    if len(brokers) > 1:
        yield Problem(
            key=brokers[0],
            code="W002",
            message=f"Q_CLUSTER chooses more than one broker: {', '.join(brokers)}. "
            f"'{brokers[0]}' wins.",
            hint="Keep one of them.",
        )
