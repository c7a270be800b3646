"""The pytest plugin of djq: what a project's tests may ask for by name.

Installing djq makes pytest load this module in every run, so it imports neither Django nor djq
before a test asks for something. The page `docs/testing.md` has an example for each fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from djq.ports import Broker
    from djq_testing.clock import ManualClock
    from djq_testing.cluster import LocalCluster
    from djq_testing.held import HeldQueue
    from djq_testing.live import LiveCluster
    from djq_testing.sync import SyncTasks

MARKERS = (
    "djq_clock(start): the moment, an aware datetime or ISO text, at which djq_clock starts",
    "djq_sync(raises=False, store='database'): whether djq_sync raises what a task raised",
    "djq_queue(raises=False, store='database'): whether djq_queue raises what a task raised",
    "djq_cluster(workers, clusters, broker, store, seed, **q_cluster): what djq_cluster is made of",
    "djq_broker(*names): the brokers that djq_broker runs the test on, one after the other",
    "djq_live_cluster(**q_cluster): settings of djq_live_cluster, over those of the project",
)
ALONE = ("djq_sync", "djq_queue", "djq_cluster", "djq_live_cluster")
"""Each of these decides where tasks run, so a test has one of them."""
DATABASE_FIXTURES = ("db", "transactional_db", "django_db_reset_sequences")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the plugin's ini options known, so that `--strict-config` accepts them."""
    parser.addini(
        "djq_raises",
        "whether djq_sync and djq_queue raise what a task raised (default: false)",
        type="bool",
        default=False,
    )
    parser.addini(
        "djq_clock_start",
        "the moment at which djq_clock starts, ISO text with a zone (default: the present time)",
        default="",
    )
    parser.addini(
        "djq_brokers",
        "the brokers that djq_broker runs a test on (default: memory)",
        type="args",
        default=["memory"],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the plugin's markers known, so that `--strict-markers` accepts them."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `djq_broker` once for each of the brokers that are wanted."""
    if "djq_broker" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("djq_broker")
        names = metafunc.config.getini("djq_brokers") if marker is None else marker.args
        # Of no broker at all pytest would make a skip: the empty name is refused as any other.
        metafunc.parametrize("djq_broker", list(names) or [""], indirect=True)


@pytest.fixture
def djq_clock(request: pytest.FixtureRequest) -> Iterator[ManualClock]:
    """A clock that stands still until the test moves it; djq goes by it in this test."""
    from djq.wiring import wired  # noqa: PLC0415 - not before a test asks
    from djq_testing.clock import clock_at  # noqa: PLC0415

    options = {"start": request.config.getini("djq_clock_start") or None}
    clock = clock_at(**_chosen(request, "djq_clock", options, "start"))
    with wired(clock=clock):
        yield clock


@pytest.fixture
def djq_sync(request: pytest.FixtureRequest) -> Iterator[SyncTasks]:
    """Every task of the test runs where it is asked for, in the test's own transaction."""
    from djq_testing.sync import SyncTasks  # noqa: PLC0415

    _stand_alone(request, "djq_sync", "djq_broker")
    options = {"raises": request.config.getini("djq_raises")}
    with SyncTasks(**_chosen(request, "djq_sync", options, "raises", "store")) as tasks:
        yield tasks


@pytest.fixture
def djq_queue(request: pytest.FixtureRequest) -> Iterator[HeldQueue]:
    """Nothing runs: what was enqueued is held, looked at, and run when the test says so."""
    from djq_testing.held import HeldQueue  # noqa: PLC0415

    _stand_alone(request, "djq_queue", "djq_broker")
    options = {"raises": request.config.getini("djq_raises")}
    with HeldQueue(**_chosen(request, "djq_queue", options, "raises", "store")) as queue:
        yield queue


@pytest.fixture
def djq_broker(request: pytest.FixtureRequest, djq_clock: ManualClock) -> Iterator[Broker]:
    """The broker of the test, on the test's clock; one after the other of those that are wanted."""
    from djq.brokers import get_broker  # noqa: PLC0415
    from djq.wiring import wired  # noqa: PLC0415
    from djq_testing.brokers import brokers_like  # noqa: PLC0415

    with wired(broker=brokers_like(request.param, djq_clock)):
        yield get_broker()


@pytest.fixture
def djq_cluster(request: pytest.FixtureRequest, djq_clock: ManualClock) -> Iterator[LocalCluster]:
    """A whole cluster in the test's own thread, on the test's clock."""
    from djq_testing.brokers import brokers_wired  # noqa: PLC0415
    from djq_testing.cluster import LocalCluster  # noqa: PLC0415

    _stand_alone(request, "djq_cluster")
    for name in DATABASE_FIXTURES:
        # Whoever asks for the database after the cluster wants the cluster to use it all the same.
        if name in request.fixturenames:
            request.getfixturevalue(name)
    options: dict[str, Any] = {}
    if "djq_broker" in request.fixturenames:
        request.getfixturevalue("djq_broker")
        options["broker"] = brokers_wired()
    with LocalCluster(djq_clock, **_chosen(request, "djq_cluster", options)) as cluster:
        yield cluster


@pytest.fixture
def djq_live_cluster(
    request: pytest.FixtureRequest,
    transactional_db: None,  # noqa: ARG001 - the processes see what is committed alone
) -> Iterator[LiveCluster]:
    """A real cluster of forked processes, on the test's own database (needs pytest-django)."""
    from djq_testing.live import LiveCluster  # noqa: PLC0415

    _stand_alone(request, "djq_live_cluster", "djq_broker", "djq_clock")
    with LiveCluster(**_chosen(request, "djq_live_cluster", {})) as cluster:
        yield cluster


def _chosen(
    request: pytest.FixtureRequest, name: str, options: dict[str, Any], *known: str
) -> dict[str, Any]:
    """The options of a fixture, with those of markers over them: the nearer to the test, the higher.

    `known` are those that a marker may have, in order. Empty: any, by name.
    """
    chosen = dict(options)
    for marker in reversed(list(request.node.iter_markers(name))):
        wrong = [key for key in marker.kwargs if known and key not in known]
        wrong += [repr(value) for value in marker.args[len(known) :]]
        if wrong:
            takes = ", ".join(known) or "settings as in Q_CLUSTER, by name"
            raise pytest.UsageError(
                f"@pytest.mark.{name} does not take {', '.join(wrong)}; it takes {takes}"
            )
        chosen |= {**dict(zip(known, marker.args, strict=False)), **marker.kwargs}
    return chosen


def _stand_alone(request: pytest.FixtureRequest, name: str, *also: str) -> None:
    excluded = {*ALONE, *also} - {name}
    others = [other for other in request.fixturenames if other in excluded]
    if others:
        raise pytest.UsageError(
            f"{name} and {', '.join(others)} exclude one another: each decides where tasks run, or by "
            "which clock; a test can have one of them"
        )
