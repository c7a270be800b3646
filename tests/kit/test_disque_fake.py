"""`djq_broker("disque")`, and the Disque in memory that it stands on: it answers as the real one did."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis.exceptions import ResponseError

from djq.brokers import get_broker
from djq.brokers.disque import DisqueBroker
from djq.brokers.disque_client import DisqueClient
from djq.tasks import async_task, result
from djq_testing.fakes.disque import FakeDisque, FakeNodes
from djq_testing.fakes.disque_server import serve

ABSENT = "D-c0ffee5e-aaaaaaaaaaaaaaaaaaaaaaaa-05a1"
ADD = ("ADDJOB", "q", "body", 0)


@pytest.mark.djq_broker("disque")
def test_broker_is_the_real_one_and_its_leases_go_by_the_test_s_clock(
    djq_broker, djq_cluster, djq_clock
):
    async_task("math.sqrt", 4, task_name="root")
    ((_, _),) = djq_broker.dequeue()
    began = djq_clock.now()

    djq_cluster.run_until_idle()

    assert isinstance(djq_broker, DisqueBroker)
    assert result("root") == 2
    assert djq_clock.now() - began >= timedelta(seconds=60)
    assert (djq_broker.queue_size(), djq_broker.lock_size()) == (0, 0)


@pytest.mark.djq_broker("disque")
def test_queues_of_one_test_are_on_one_disque(djq_broker):
    other = get_broker("other")
    async_task("math.sqrt", 4, broker=other)

    assert (djq_broker.queue_size(), other.queue_size()) == (0, 1)
    assert other._nodes is djq_broker._nodes


# What the real server answers, as it was seen on Disque 1.0-rc1 by redis-py.


@pytest.fixture(params=["in memory", "over TCP"])
def ask(request, djq_clock):
    """A function that asks one node one thing."""
    disque = FakeDisque(djq_clock)
    if request.param == "in memory":
        client = FakeNodes(disque).connect()
        yield lambda *command: client.ask(command)[0]
        return
    with serve(disque) as (server,):
        client = DisqueClient(("127.0.0.1", server.port), None)
        yield lambda *command: client.ask(command)[0]
        client.close()


def told(answer):
    """The words of an error."""
    assert isinstance(answer, ResponseError)
    return str(answer)


def test_hello_tells_the_node_and_its_kin(ask):
    version, id, *nodes = ask("HELLO")

    assert version == 1
    assert [[node[0], node[1], node[3]] for node in nodes] == [[id, b"", b"1"]]
    assert len(id) == 40
    assert b"disque_version:1.0-rc1" in ask("INFO", "server")


def test_id_has_forty_characters_and_the_life_in_minutes(ask):
    ids = [ask(*ADD), ask(*ADD, "TTL", 5_000_000), ask(*ADD, "RETRY", 0)]

    assert [len(id) for id in ids] == [40, 40, 40]
    assert [id[-5:] for id in ids] == [b"-05a1", b"-ffff", b"-05a0"]
    assert len({id[:11] for id in ids}) == 1


def test_job_is_given_with_and_without_counters(ask):
    first, second = ask(*ADD), ask(*ADD)

    assert ask("GETJOB", "NOHANG", "FROM", "none") is None
    assert ask("GETJOB", "NOHANG", "FROM", "q") == [[b"q", first, b"body"]]
    assert ask("NACK", first) == 1
    assert ask("GETJOB", "NOHANG", "COUNT", 5, "WITHCOUNTERS", "FROM", "q") == [
        [b"q", first, b"body", b"nacks", 1, b"additional-deliveries", 0],
        [b"q", second, b"body", b"nacks", 0, b"additional-deliveries", 0],
    ]
    assert ask("GETJOB", "TIMEOUT", 100, "FROM", "q") is None


@pytest.mark.parametrize("verb", ["ACKJOB", "FASTACK", "DELJOB"])
def test_what_is_done_is_counted_once(ask, verb):
    ids = [ask(*ADD), ask(*ADD)]

    assert [ask(verb, *ids), ask(verb, *ids), ask("QLEN", "q")] == [2, 0, 0]


def test_job_comes_back_after_retry_and_is_counted(ask, djq_clock):
    id = ask(*ADD, "RETRY", 10)
    ask("GETJOB", "FROM", "q")
    sizes = [ask("QLEN", "q")]
    djq_clock.advance(10)
    sizes.append(ask("QLEN", "q"))

    ((*_, nacks, _, additional),) = ask("GETJOB", "WITHCOUNTERS", "FROM", "q")

    assert (sizes, nacks, additional) == ([0, 1], 0, 1)
    assert ask("WORKING", id) == 10


def test_job_that_is_never_queued_again_is_given_once(ask, djq_clock):
    ask(*ADD, "RETRY", 0)
    ask("GETJOB", "FROM", "q")

    djq_clock.advance(days=2)

    assert ask("QLEN", "q") == 0


def test_time_to_the_next_queueing_runs_on_while_a_job_waits(ask, djq_clock):
    ask(*ADD, "RETRY", 10)
    djq_clock.advance(19)
    ask("GETJOB", "FROM", "q")

    djq_clock.advance(1)

    assert ask("QLEN", "q") == 1


def test_working_is_refused_in_the_second_half_of_a_life(ask, djq_clock):
    id = ask(*ADD, "RETRY", 10, "TTL", 100)
    djq_clock.advance(51)

    assert told(ask("WORKING", id)).startswith("TOOLATE")
    assert told(ask("WORKING", ABSENT)).startswith("NOJOB")


def test_job_is_dropped_when_its_life_is_over(ask, djq_clock):
    id = ask(*ADD)
    djq_clock.advance(24 * 3600)

    assert (ask("QLEN", "q"), ask("SHOW", id)) == (0, None)


def test_job_is_shown(ask):
    id = ask(*ADD, "DELAY", 5, "RETRY", 7)

    flat = ask("SHOW", id)

    shown = dict(zip(flat[::2], flat[1::2], strict=True))
    assert len(flat) == 30
    assert (shown[b"id"], shown[b"state"], shown[b"body"]) == (id, b"active", b"body")
    assert (shown[b"delay"], shown[b"retry"], shown[b"next-requeue-within"]) == (5, 7, 5_000)


def test_scans_give_pages(ask):
    ids = [ask(*ADD) for _ in range(5)]
    ask("ADDJOB", "other", "", 0)
    ask("GETJOB", "FROM", "q")

    cursor, page = ask("JSCAN", 0, "QUEUE", "q", "COUNT", 3)

    assert cursor != b"0"
    assert ask("JSCAN", cursor, "QUEUE", "q", "COUNT", 3) == [b"0", ids[3:]]
    assert page == ids[:3]
    assert ask("JSCAN", "QUEUE", "q", "STATE", "queued") == [b"0", ids[1:]]
    assert ask("JSCAN", "QUEUE", "q", "STATE", "active", "REPLY", "all")[1][0][1] == ids[0]
    assert ask("QSCAN") == [b"0", [b"q", b"other"]]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((*ADD, "MAXLEN", 1), "MAXLEN "),
        ((*ADD, "REPLICATE", 2), "NOREPL "),
        ((*ADD, "DELAY", 9, "TTL", 9), "The specified DELAY is greater than TTL"),
        ((*ADD, "TTL", 0), "TTL must be"),
        ((*ADD, "FOO", 0), "syntax error"),
        (("GETJOB", "COUNT", 0, "FROM", "q"), "COUNT must be"),
        (("GETJOB",), "syntax error"),
        (("ACKJOB", ABSENT, "7"), "BADID "),
        (("WORKING",), "wrong number of arguments"),
        (("LPUSH", "q", "body"), "unknown command"),
    ],
)
def test_what_is_wrong_is_told(ask, command, words):
    ask(*ADD)

    assert told(ask(*command)).startswith(words)


@pytest.mark.parametrize(("state", "adds", "gives"), [("in", False, True), ("out", True, False)])
def test_queue_is_paused(ask, state, adds, gives):
    ask(*ADD)
    assert ask("PAUSE", "q", "none") == b"none"

    assert ask("PAUSE", "q", state) == state.encode()

    assert (ask("GETJOB", "NOHANG", "FROM", "q") is not None) is gives
    answer = ask(*ADD)
    assert isinstance(answer, bytes) is adds
    assert adds or told(answer).startswith("PAUSED ")
