"""The bell of a queue in PostgreSQL: who sends wakes who waits, with the transaction and without a pool."""

from __future__ import annotations

import fcntl
import os
import pickle
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connections, transaction

from djq import assembly
from djq.brokers.orm import ServerClock
from djq.brokers.orm_bell import DEAF_SECONDS, WATCHED, Bell, Heard
from djq.conf import get_config
from djq.runtime.clock import SystemClock
from djq_testing.clock import ManualClock
from tests.brokers.orm_parts import make_broker, queries
from tests.cluster.proxy import Proxy

PATIENT_SECONDS = 10
SOON_SECONDS = 5
SHORT_SECONDS = 0.05
PIECE = bytes(4)
LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND state = 'idle' AND query LIKE 'SELECT EXTRACT(EPOCH FROM min%%'"
)


@pytest.fixture
def with_bell():
    """A function that makes brokers; they listen no more after the test."""
    made = []

    def make(alias, wait_seconds=PATIENT_SECONDS, **options):
        clock = options.pop("clock", SystemClock())
        bell = Bell(alias, "q", clock=clock, wait_seconds=wait_seconds)
        made.append(make_broker(alias, SystemClock(), bell=bell, **options))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


def unread(raw):
    """How many bytes have come to a connection that nobody has read."""
    return int.from_bytes(fcntl.ioctl(raw.fileno(), termios.FIONREAD, PIECE), sys.byteorder)


def packages(received):
    return [package for _, package in received]


def listeners(alias):
    """The sessions that wait, by what they asked last."""
    with connections[alias].cursor() as cursor:
        cursor.execute(LISTENERS)
        return [pid for (pid,) in cursor.fetchall()]


@contextmanager
def waiting(alias, broker):
    """Have the broker wait in a thread of its own."""

    def dequeue():
        try:
            return broker.dequeue(5)
        finally:
            broker.close()

    with ThreadPoolExecutor(1) as threads:
        coming = threads.submit(dequeue)
        while not listeners(alias):
            assert not coming.done()
        yield coming


@contextmanager
def rings(alias):
    """Collect the rings of the queue meanwhile."""
    listening = connections[alias].copy()
    heard = []
    try:
        with listening.cursor() as cursor:
            cursor.execute(f"LISTEN {Bell(alias, 'q', clock=SystemClock()).channel}")
        yield heard
        heard += listening.connection.notifies(timeout=SHORT_SECONDS)
    finally:
        listening.close()


# Who sends wakes who waits.


def test_package_wakes_who_waits(postgres, with_bell):
    with waiting(postgres, with_bell(postgres)) as coming:
        with_bell(postgres).enqueue("x")

        assert packages(coming.result(SOON_SECONDS)) == ["x"]


class RungAtWithItsAnswer(Bell):
    """A bell whose first answer comes together with a ring that the server sent after it."""

    def _read(self, raw):
        if not self.answered:
            self.answered = True
            before = unread(raw)
            self.ring()
            while unread(raw) == before:
                assert raw.fileno()
        super()._read(raw)

    answered = False


def test_ring_that_comes_together_with_an_answer_is_heard(postgres):
    bell = RungAtWithItsAnswer(postgres, "q", clock=SystemClock(), wait_seconds=SHORT_SECONDS)

    assert bell.wait() is Heard.RING

    bell.close()


def test_package_that_is_given_back_wakes_who_waits(postgres, with_bell):
    first = with_bell(postgres)
    first.enqueue("x")
    ((receipt, _),) = first.dequeue()
    with waiting(postgres, with_bell(postgres)) as coming:
        first.release(receipt)

        assert packages(coming.result(SOON_SECONDS)) == ["x"]


def test_lease_that_ends_wakes_who_waits_though_nobody_rings(postgres, with_bell):
    first = with_bell(postgres, retry_seconds=0.3)
    first.enqueue("x")
    first.dequeue()
    with waiting(postgres, with_bell(postgres)) as coming:
        ((_, package),) = coming.result(SOON_SECONDS)

    assert package == "x"


def test_package_for_later_wakes_who_waits_when_its_time_has_come(postgres, with_bell):
    with waiting(postgres, with_bell(postgres)) as coming:
        sent_at = time.monotonic()
        with_bell(postgres).enqueue_later(["x"], 0.3)
        # It rings, so that who waits finds nothing and looks how long.
        taken = coming.result(SOON_SECONDS) or with_bell(postgres).dequeue()

    assert packages(taken) == ["x"]
    assert 0.25 < time.monotonic() - sent_at < SOON_SECONDS


def test_package_is_taken_when_the_server_calls_it_due_though_the_copied_time_is_behind(
    postgres, with_bell
):
    stands_still = ServerClock(postgres, ManualClock())
    bell = Bell(postgres, "q", clock=SystemClock(), wait_seconds=SHORT_SECONDS)
    broker = make_broker(postgres, stands_still, bell=bell)
    broker.dequeue()
    with_bell(postgres).enqueue("x")

    # It rings first, for whoever has the time of the sender.
    taken = broker.dequeue() or broker.dequeue()

    broker.close()
    assert packages(taken) == ["x"]


def test_queue_rings_when_the_transaction_commits_and_never_if_it_rolls_back(postgres, with_bell):
    broker = with_bell(postgres)
    with rings(postgres) as heard, transaction.atomic(using=postgres):
        broker.enqueue("never was")
        transaction.set_rollback(True, using=postgres)
    assert heard == []

    with rings(postgres) as heard, transaction.atomic(using=postgres):
        broker.enqueue("a")
        broker.enqueue("b")
    assert len(heard) == 1


def test_many_packages_cost_no_more_statements_and_ring_once(postgres, with_bell):
    broker = with_bell(postgres)
    with rings(postgres) as heard, queries(postgres) as asked:
        ids = broker.enqueue_many([str(number) for number in range(700)])

    assert asked == ["BEGIN", "WITH", "WITH", "WITH", "COMMIT"]
    assert len(heard) == 1
    assert ids == sorted(ids, key=int)
    assert len(set(ids)) == 700
    assert packages(broker.dequeue(300)) == [str(number) for number in range(300)]


def test_queue_rings_for_itself_alone(postgres):
    other = Bell(postgres, "other", clock=SystemClock())
    with rings(postgres) as heard:
        make_broker(postgres, SystemClock(), bell=other).enqueue("x")

    assert heard == []


@pytest.mark.parametrize(
    "list_key", ["q", "ü" * 100, 'a"; DROP TABLE djq_ormq; --'], ids=["short", "long", "hostile"]
)
def test_every_queue_has_a_channel_that_postgres_takes(postgres, list_key):
    bell = Bell(postgres, list_key, clock=SystemClock(), wait_seconds=SHORT_SECONDS)

    assert bell.wait() is Heard.NOTHING
    bell.ring()
    assert bell.wait() is Heard.RING
    bell.close()


# What an idle queue costs, and what the pusher is told.


def test_idle_queue_is_looked_at_once_for_each_wait(postgres, with_bell):
    broker = with_bell(postgres, SHORT_SECONDS)
    assert broker.blocks is False
    broker.dequeue()

    with queries(postgres) as asked:
        for _ in range(3):
            assert broker.dequeue() == []

    assert asked == [], "the looks are on the connection that listens"
    assert broker.blocks is True


def test_row_that_others_hold_locked_is_no_reason_to_look_without_a_pause(postgres, with_bell):
    broker = with_bell(postgres)
    broker.enqueue("x")
    other = connections[postgres].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM djq_ormq FOR UPDATE")

        assert broker.dequeue() == []
        assert broker.blocks is False
        assert broker.dequeue() == []
        assert broker.blocks is False
    finally:
        other.close()
    assert packages(broker.dequeue()) == ["x"]


def test_rings_of_a_busy_time_do_not_pile_up(postgres, with_bell):
    broker = with_bell(postgres, SHORT_SECONDS)
    broker.dequeue()
    sizes = []
    for number in range(100):
        broker.enqueue(str(number))
        assert packages(broker.dequeue()) == [str(number)]
        sizes.append(unread(broker._own_bell._listening.connection))

    assert max(sizes) < 50 * len(broker._own_bell.channel), (
        "a server that nobody listens to keeps them"
    )


# Silence, and forks.


@pytest.fixture
def proxy(postgres):
    server = connections[postgres].settings_dict
    proxy = Proxy(server["HOST"], int(server["PORT"]))
    yield proxy
    proxy.close()


def test_silent_server_is_given_up_and_heard_again_afterwards(postgres, proxy, add_database):
    settings = {**connections[postgres].settings_dict, "HOST": "127.0.0.1", "PORT": proxy.port}
    alias = add_database("by_proxy", settings)
    clock = ManualClock()
    around = {"wait_seconds": SHORT_SECONDS, "silent_seconds": SHORT_SECONDS * 4}
    bell = Bell(alias, "q", clock=clock, **around)
    assert bell.wait() is Heard.NOTHING

    proxy.cut("stall")
    begun_at = time.monotonic()
    assert bell.wait() is Heard.DEAF
    assert time.monotonic() - begun_at < SOON_SECONDS

    proxy.mend()
    clock.advance(DEAF_SECONDS)
    assert bell.wait() is Heard.NOTHING
    bell.close()


def test_lost_server_is_watched_for_unless_the_settings_say_otherwise(postgres, add_database):
    settings = {**connections[postgres].settings_dict, "OPTIONS": {"keepalives_idle": 77}}
    alias = add_database("patient", settings)
    bell = Bell(alias, "q", clock=SystemClock(), wait_seconds=SHORT_SECONDS)
    bell.wait()

    said = bell._listening.connection.info.get_parameters()

    bell.close()
    expected = {**WATCHED, "keepalives_idle": 77}
    assert {name: int(said[name]) for name in WATCHED} == expected


def test_child_of_a_fork_listens_for_itself_and_leaves_its_parent_s_connection(postgres, with_bell):
    broker = with_bell(postgres, SHORT_SECONDS)
    broker.dequeue()
    (session,) = listeners(postgres)
    connections.close_all()

    child = os.fork()
    if not child:
        heard = "nothing"
        try:
            broker.dequeue()
            heard = listeners(postgres)
            broker.close()
        finally:
            os._exit(len(set(heard) - {session}) == len(heard) - 1 == 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1, "there are two who listen"
    assert listeners(postgres) == [session]
    broker.enqueue("x")
    assert packages(broker.dequeue()) == ["x"]


# Where nobody can wait, the queue is looked at as on other databases.


def test_queue_is_looked_at_while_nobody_can_listen_and_listened_to_after_a_time(
    postgres, with_bell
):
    clock = ManualClock()
    broker = with_bell(postgres, SHORT_SECONDS, clock=clock)
    broker.dequeue()
    (session,) = listeners(postgres)
    with connections[postgres].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [session])

    assert broker.dequeue() == []
    assert broker.blocks is False
    broker.enqueue("x")
    assert packages(broker.dequeue()) == ["x"]
    broker.dequeue()
    assert (broker.blocks, listeners(postgres)) == (False, [])

    clock.advance(seconds=DEAF_SECONDS)
    broker.dequeue()
    assert broker.blocks is True
    assert len(listeners(postgres)) == 1
    broker.close()
    assert listeners(postgres) == []


def test_connection_that_listens_is_none_of_the_pool(postgres, add_database, with_bell):
    settings = {**connections[postgres].settings_dict, "OPTIONS": {"pool": {"min_size": 1}}}
    add_database("pooled", settings)
    broker = with_bell("pooled", SHORT_SECONDS)
    broker.dequeue()
    assert broker.blocks is True
    pool = connections["pooled"].pool

    broker.close()
    assert listeners(postgres) == []
    assert pool.get_stats()["pool_size"] == 1
    connections["pooled"].close()
    connections["pooled"].close_pool()  # Django keeps pools by alias, closed ones too


def test_broker_that_listens_can_be_pickled(postgres, with_bell):
    broker = with_bell(postgres, SHORT_SECONDS)
    broker.dequeue()

    copy = pickle.loads(pickle.dumps(broker))
    copy.enqueue("x")
    taken = copy.dequeue()
    copy.close()
    assert packages(taken) == ["x"]


def test_database_of_another_kind_has_no_bells(live_database, with_bell):
    if connections[live_database].vendor == "postgresql":
        pytest.skip("this one has")
    broker = with_bell(live_database)
    broker.enqueue("x")

    assert packages(broker.dequeue()) == ["x"]
    assert broker.dequeue() == []
    assert broker.blocks is False


@pytest.mark.parametrize(("said", "rung"), [({}, 1), ({"orm_notify": False}, 0)])
def test_bells_can_be_done_without(postgres, settings, said, rung):
    settings.Q_CLUSTER = {"name": "q", "orm": postgres, **said}
    broker = assembly.make_broker(get_config())
    with rings(postgres) as heard:
        broker.enqueue("x")

    assert len(heard) == rung
