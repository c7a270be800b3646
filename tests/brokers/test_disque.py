"""The broker on Disque: its leases, its nodes, and what it says when they do not serve."""

from __future__ import annotations

import pickle
import socket
import sys
import threading
from datetime import timedelta

import pytest

from djq.brokers.disque import LATER_SECONDS_MAX, OVER_MAX, TTL_SECONDS, DisqueBroker
from djq.brokers.disque_client import DisqueNodes
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.runtime.clock import SystemClock
from djq_testing.contract.delivered import attempts, packages, receipts
from djq_testing.fakes.disque import FakeDisque, FakeNodes, make_fake
from djq_testing.fakes.disque_server import serve

RETRY = 60.0
DAY = timedelta(days=1)
NO_JOB = "D-c0ffee5e-aaaaaaaaaaaaaaaaaaaaaaaa-05a1"


@pytest.fixture
def disque(djq_clock):
    return FakeDisque(djq_clock, nodes=2)


@pytest.fixture
def nodes(disque):
    return FakeNodes(disque)


@pytest.fixture
def broker(nodes):
    return make_fake("q", nodes=nodes, retry_seconds=RETRY)


def over_tcp(*servers, password=None, **options):
    """A broker that tries these nodes in this order."""
    addresses = tuple(("127.0.0.1", server.port) for server in servers)
    nodes = DisqueNodes(addresses, password=password, shuffled=list)
    return DisqueBroker("q", nodes=nodes, **{"retry_seconds": RETRY, "wait_seconds": 0, **options})


# Leases and lives.


def test_lease_begins_when_the_package_is_taken_and_not_when_it_was_sent(broker, djq_clock):
    broker.enqueue("a")
    djq_clock.advance(RETRY - 1)
    taken = broker.dequeue()

    djq_clock.advance(RETRY - 1)

    assert packages(taken) == ["a"]
    assert list(broker.dequeue()) == []


def test_package_is_there_after_weeks_and_gone_when_its_life_is_over(broker, djq_clock):
    broker.enqueue_many(["a", "b"])
    djq_clock.advance(TTL_SECONDS - 1)
    before = packages(broker.dequeue())

    djq_clock.advance(1)

    assert (before, broker.queue_size()) == (["a"], 0)


def test_package_held_back_for_long_can_be_renewed_when_it_is_due(broker, djq_clock):
    broker.enqueue_later(["a"], LATER_SECONDS_MAX)
    djq_clock.advance(LATER_SECONDS_MAX)
    taken = broker.dequeue()

    for _ in range(3):
        djq_clock.advance(RETRY - 1)
        broker.extend_many(receipts(taken))

    assert packages(taken) == ["a"]
    assert list(broker.dequeue()) == []


def test_package_is_held_back_for_46_days_at_most(broker):
    with pytest.raises(TaskRefused, match="at most 4,000,000"):
        broker.enqueue_later(["a"], LATER_SECONDS_MAX + 1)


def test_renewal_in_the_second_half_of_a_life_is_no_error(broker, djq_clock):
    broker.enqueue("a")
    djq_clock.advance(TTL_SECONDS / 2 + 1)
    taken = broker.dequeue()

    broker.extend_many(receipts(taken))

    assert packages(taken) == ["a"]


@pytest.mark.parametrize(("seconds", "whole"), [(0.1, 1), (1, 1), (1.2, 2), (60, 60)])
def test_lease_is_rounded_up_to_whole_seconds(nodes, djq_clock, seconds, whole):
    broker = make_fake("q", nodes=nodes, retry_seconds=seconds)
    broker.enqueue("a")
    broker.dequeue()

    djq_clock.advance(whole - 0.001)
    early = list(broker.dequeue())
    djq_clock.advance(0.001)

    assert early == []
    assert packages(broker.dequeue()) == ["a"]


def test_word_of_one_process_about_a_later_delivery_of_what_it_gave_back_counts(nodes):
    pusher, monitor = (make_fake("q", nodes=nodes, retry_seconds=RETRY) for _ in range(2))
    pusher.enqueue("a")
    monitor.release_many(receipts(pusher.dequeue()))
    second = receipts(pusher.dequeue())

    monitor.acknowledge_many(second)

    assert pusher.next_available() is None


@pytest.fixture
def after_failover(nodes):
    """A pusher, a monitor and two deliveries: the first was given back, the second is by another node."""
    pusher, monitor = (make_fake("q", nodes=nodes, retry_seconds=RETRY) for _ in range(2))
    first, second = nodes.nodes
    second.counts_anew = True
    pusher.enqueue("a")
    taken = pusher.dequeue()
    monitor.release_many(receipts(taken))
    first.up = False
    return pusher, monitor, [*taken, *pusher.dequeue()]


def test_delivery_after_a_failover_is_none_that_was_before(after_failover):
    _, _, taken = after_failover

    assert (packages(taken), attempts(taken)) == (["a", "a"], [1, 1])
    assert len(set(receipts(taken))) == 2


def test_what_another_node_delivered_again_is_acknowledged(after_failover):
    pusher, monitor, (_, again) = after_failover

    monitor.acknowledge_many(receipts([again]))

    assert pusher.next_available() is None


def test_lease_of_what_another_node_delivered_again_is_renewed(after_failover, djq_clock):
    pusher, monitor, (_, again) = after_failover

    djq_clock.advance(RETRY - 1)
    monitor.extend_many(receipts([again]))
    djq_clock.advance(RETRY - 1)

    assert list(pusher.dequeue()) == []


def test_late_word_about_a_delivery_before_the_failover_ends_none_behind_it(after_failover):
    pusher, monitor, (before, _) = after_failover

    monitor.acknowledge_many(receipts([before]))
    monitor.release_many(receipts([before]))

    assert (pusher.queue_size(), pusher.lock_size()) == (0, 1)


def test_late_word_of_another_process_is_taken_for_that_of_who_has_the_package(nodes, djq_clock):
    slow, quick = (make_fake("q", nodes=nodes, retry_seconds=RETRY) for _ in range(2))
    slow.enqueue_many(["acknowledged", "given back"])
    late = receipts(slow.dequeue(2))
    djq_clock.advance(RETRY)
    held = quick.dequeue(2)

    slow.acknowledge(late[0])
    slow.release(late[1])

    assert packages(held) == ["acknowledged", "given back"]
    assert packages(slow.dequeue(2)) == ["given back"]
    djq_clock.advance(RETRY)
    assert packages(slow.dequeue(2)) == ["given back"]


def test_lease_is_renewed_by_another_node_though_an_earlier_delivery_was_acknowledged(
    broker, nodes, disque, djq_clock
):
    broker.enqueue("a")
    (kept,) = disque._jobs.values()
    broker.acknowledge_many(receipts(broker.dequeue()))
    # A node that had not heard of that delivers it again.
    disque._jobs[kept.id] = kept
    disque._enqueue(kept)
    again = receipts(broker.dequeue())
    nodes.nodes[0].has_copies = False

    djq_clock.advance(RETRY - 1)
    broker.extend_many(again)
    djq_clock.advance(RETRY - 1)

    assert list(broker.dequeue()) == []


def test_deliveries_that_are_over_are_forgotten_in_the_end(broker):
    broker._over = dict.fromkeys(f"{NO_JOB}:{number}" for number in range(OVER_MAX))
    broker.enqueue("a")

    broker.acknowledge_many(last := receipts(broker.dequeue()))

    assert list(broker._over)[:: OVER_MAX - 1] == [f"{NO_JOB}:1", *last]


def test_packages_of_one_batch_wait_half_a_minute_for_copies_at_most(broker, nodes):
    asked, ask = [], nodes.nodes[0].ask

    def listening(*commands):
        asked.append(commands)
        return ask(*commands)

    nodes.nodes[0].ask = listening
    broker.enqueue_many(["x"] * 300)
    broker.enqueue("x")

    assert [sum(command[3] for command in commands) for commands in asked] == [30_000, 4_000]


def test_lease_is_renewed_where_there_is_a_copy(broker, nodes, djq_clock):
    broker.enqueue_many(["a", "b"])
    nodes.nodes[0].has_copies = False
    taken = broker.dequeue(2)

    djq_clock.advance(RETRY - 1)
    broker.extend_many(receipts(taken))
    djq_clock.advance(RETRY - 1)

    assert list(broker.dequeue()) == []


def test_trouble_of_a_node_that_is_asked_besides_hides_no_package(broker, nodes):
    broker.enqueue_many(["a", "b"])
    nodes.nodes[0].has_copies = False
    nodes.nodes[1].hangs_up = "before"

    assert packages(broker.dequeue(5)) == ["a", "b"]


def test_other_nodes_are_not_asked_about_what_was_acknowledged_here(broker, nodes):
    broker.enqueue_many(["a"])
    done = receipts(broker.dequeue())
    broker.acknowledge_many(done)

    broker.extend_many(done)

    assert nodes.nodes[1].round_trips == 0


def test_node_that_hung_is_left_out_for_a_minute(djq_clock):
    with serve(FakeDisque(djq_clock)) as (server,), socket.create_server(("127.0.0.1", 0)) as hung:
        hung.settimeout(0.05)
        addresses = (("127.0.0.1", server.port), hung.getsockname())
        nodes = DisqueNodes(addresses, shuffled=list, host_clock=djq_clock)
        broker = DisqueBroker("q", nodes=nodes, retry_seconds=RETRY, wait_seconds=0)
        asked = []
        for seconds in (0, 59, 1):
            djq_clock.advance(seconds)
            broker.extend(NO_JOB)
            asked.append(_has_come(hung))
        broker.close()

    assert asked == [True, False, True]


def _has_come(listening):
    try:
        connection, _ = listening.accept()
    except TimeoutError:
        return False
    connection.close()
    return True


@pytest.mark.parametrize("id", ["7", "", "D-7", NO_JOB, f"{NO_JOB}:1"])
def test_word_about_what_is_no_job_is_no_error(broker, id):
    broker.enqueue("a")

    broker.delete(id)
    broker.acknowledge_many([id])
    broker.extend(id)
    broker.release(id)
    broker.fail(id)

    assert broker.queue_size() == 1


def test_what_is_no_job_does_not_hide_the_others(broker):
    broker.enqueue("a")

    broker.acknowledge_many(["no job", *receipts(broker.dequeue())])

    assert broker.next_available() is None


@pytest.mark.parametrize(("fast", "command"), [(False, b"ACKJOB"), (True, b"FASTACK")])
def test_what_is_done_is_acknowledged_as_the_settings_say(disque, fast, command):
    with serve(disque) as servers:
        broker = over_tcp(*servers, fast_acknowledge=fast)
        broker.enqueue("a")

        broker.acknowledge_many(receipts(broker.dequeue()))

        broker.close()
        assert servers[0].commands[-1] == command


# Many at once.


def test_purge_reads_every_page(broker, djq_clock):
    broker.enqueue_many(["x"] * 2_500)
    broker.enqueue_later(["x"] * 10, 5)

    broker.purge_queue()

    assert broker.next_available() is None


def test_draining_takes_three_round_trips_a_batch(nodes, record_property):
    tasks, bulk = 960, 32
    broker = make_fake("q", nodes=nodes, retry_seconds=RETRY)
    broker.enqueue_many(["x"] * tasks)
    sent = nodes.round_trips

    while taken := broker.dequeue(bulk):
        broker.acknowledge_many(receipts(taken))

    drained = nodes.round_trips - sent
    record_property("round trips a task", drained / tasks)
    sys.stdout.write(f"Disque: {drained / tasks:.3f} round trips a task, {bulk} at a time\n")
    assert sent == 4  # three hundred in each
    assert drained == 3 * tasks / bulk + 1


# Nodes that die.


def test_next_verb_goes_to_another_node_when_one_has_died(broker, nodes):
    broker.enqueue("a")
    nodes.nodes[0].up = False

    taken = broker.dequeue()

    assert packages(taken) == ["a"]


@pytest.mark.parametrize(("when", "sent"), [("before", 0), ("after", 1)])
def test_sending_whose_answer_is_lost_is_not_repeated(broker, nodes, when, sent):
    nodes.nodes[0].hangs_up = when

    with pytest.raises(BrokerUnavailable):
        broker.enqueue("a")

    assert broker.queue_size() == sent


@pytest.mark.parametrize(("count", "dead"), [(2, 1), (3, 1), (3, 2), (5, 4)])
def test_package_is_sent_with_fewer_copies_where_nodes_are_dead(djq_clock, count, dead):
    nodes = FakeNodes(FakeDisque(djq_clock, nodes=count))
    broker = make_fake("q", nodes=nodes, retry_seconds=RETRY)
    for node in nodes.nodes[:dead]:
        node.up = False

    broker.enqueue_many(["a", "b"])

    assert packages(broker.dequeue(5)) == ["a", "b"]


def test_nothing_is_sent_twice_when_all_nodes_are_gone(broker, nodes):
    for node in nodes.nodes:
        node.up = False

    with pytest.raises(BrokerUnavailable, match="refused"):
        broker.enqueue("a")
    assert broker.ping() is False
    with pytest.raises(BrokerUnavailable):
        broker.purge_queue()


def test_batch_that_fails_in_part_is_taken_back(broker, disque):
    disque.room = 3

    with pytest.raises(BrokerUnavailable, match="memory is full") as caught:
        broker.enqueue_many(["x"] * 5)

    assert broker.next_available() is None
    assert list(caught.value.sent) == []


class Going:
    """Connects to a node that goes after so many rounds; `unheard`: it lets one connect all the same."""

    def __init__(self, node, rounds, *, unheard):
        self._node, self._left, self._unheard = node, rounds, unheard

    def connect(self):
        if self._left <= 0 and not self._unheard:
            raise ConnectionRefusedError("refused")
        return self

    def ask(self, *commands):
        self._left -= 1
        if self._left < 0:
            raise ConnectionResetError("reset")
        return self._node.ask(*commands)

    def is_open(self):
        return self._left > 0 or self._unheard

    def close(self):
        pass


@pytest.mark.parametrize(("unheard", "stays"), [(False, 1_200), (True, 200)])
def test_what_cannot_be_taken_back_of_a_batch_is_told(nodes, unheard, stays):
    """A portion has 300 packages, and 1,000 are taken back by one command."""
    going = Going(nodes.connect(), 4, unheard=unheard)
    broker = DisqueBroker("q", nodes=going, retry_seconds=RETRY, wait_seconds=0)

    with pytest.raises(BrokerUnavailable, match=f"; {stays:,} of 1,300 packages") as caught:
        broker.enqueue_many([str(number) for number in range(1_300)])

    assert list(caught.value.sent) == list(range(1_200 - stays, 1_200))
    assert make_fake("q", nodes=nodes, retry_seconds=RETRY).queue_size() == 1_200


def test_what_stays_of_a_batch_that_is_refused_in_part_is_told_by_its_places(nodes, disque):
    disque.room = 2
    going = Going(nodes.connect(), 1, unheard=False)
    broker = DisqueBroker("q", nodes=going, retry_seconds=RETRY, wait_seconds=0)

    with pytest.raises(BrokerUnavailable, match="2 of 3 packages were sent") as caught:
        broker.enqueue_many(["a", "b", "c"])

    assert list(caught.value.sent) == [0, 1]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"room": 0}, "memory is full"),
        ({"short_of_nodes": True}, "too few nodes"),
        ({"_paused": {b"djq:q": "in"}}, "PAUSE <queue> none"),
    ],
)
@pytest.mark.parametrize("place", ["in memory", "over TCP"])
def test_refusal_says_what_is_the_matter(disque, nodes, trouble, words, place):
    for name, value in trouble.items():
        setattr(disque, name, value)
    with serve(disque) as servers:
        tcp = over_tcp(*servers)
        broker = tcp if place == "over TCP" else make_fake("q", nodes=nodes, retry_seconds=RETRY)

        with pytest.raises(BrokerUnavailable, match=words):
            broker.enqueue("a")

        tcp.close()


# Over TCP.


def test_real_client_goes_on_to_the_next_node(disque):
    with serve(disque) as (first, second):
        broker = over_tcp(first, second)
        broker.enqueue("a")
        first.stop()

        taken = packages(broker.dequeue())
        told = broker.info()

        broker.close()
        assert (taken, told) == (["a"], "Disque 1.0-rc1")
        assert b"GETJOB" in second.commands


def test_nodes_that_do_not_answer_are_passed_over(disque):
    with serve(disque) as (first, second):
        first.stop()
        broker = over_tcp(first, second)

        broker.enqueue("a")
        broker.purge_queue()

        size = broker.queue_size()
        broker.close()
        assert size == 0


def test_host_that_is_no_name_is_unavailable():
    nodes = DisqueNodes((("redis..example", 7711),))

    with pytest.raises(BrokerUnavailable, match="no name of a host"):
        DisqueBroker("q", nodes=nodes, retry_seconds=RETRY).enqueue("a")


def test_idle_connection_that_was_closed_is_no_error(disque):
    with serve(disque) as servers:
        broker = over_tcp(*servers)
        broker.enqueue("a")
        servers[0].hang_up()

        sizes = [broker.queue_size() for _ in range(2)]

        broker.close()
        assert sizes == [1, 1]


@pytest.mark.parametrize(
    ("password", "works"), [("hunter2", True), ("hunter3", False), (None, False)]
)
def test_password_opens_the_nodes(djq_clock, password, works):
    with serve(FakeDisque(djq_clock, password="hunter2")) as servers:
        broker = over_tcp(*servers, password=password)

        assert broker.ping() is works
        if not works:
            with pytest.raises(BrokerUnavailable) as caught:
                broker.enqueue("a")
            assert "hunter" not in str(caught.value)
        broker.close()


def test_empty_queue_is_waited_at_and_a_package_wakes_at_once():
    with serve(FakeDisque(SystemClock())) as servers:
        waiter, sender = over_tcp(*servers, wait_seconds=30), over_tcp(*servers)
        taken = []
        waiting = threading.Thread(target=lambda: taken.extend(waiter.dequeue(5)))
        waiting.start()
        sender.enqueue("a")

        waiting.join(5)

        waiter.close()
        sender.close()
        assert packages(taken) == ["a"]


def test_broker_that_is_connected_can_be_pickled(disque):
    with serve(disque) as servers:
        broker = over_tcp(*servers)
        broker.enqueue("a")

        copy = pickle.loads(pickle.dumps(broker))
        taken = packages(copy.dequeue())

        broker.close()
        copy.close()
        assert taken == ["a"]


def test_node_that_hangs_up_on_a_command_is_left_for_another(disque):
    with serve(disque) as servers, socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(
            target=_hang_up_after_the_greeting, args=(listening,), daemon=True
        )
        thread.start()
        addresses = (listening.getsockname(), ("127.0.0.1", servers[0].port))
        nodes = DisqueNodes(addresses, shuffled=list)
        broker = DisqueBroker("q", nodes=nodes, retry_seconds=RETRY, wait_seconds=0)

        with pytest.raises(BrokerUnavailable):
            broker.enqueue("a")
        broker.enqueue("b")

        taken = packages(broker.dequeue(5))
        broker.close()
        thread.join(5)
        assert taken == ["b"]
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def _hang_up_after_the_greeting(listening):
    connection, _ = listening.accept()
    with connection:
        while b"HELLO" not in (came := connection.recv(65_536)):
            connection.sendall(b"-ERR unknown command\r\n" * came.count(b"*"))
        connection.sendall(b"*1\r\n:1\r\n")
        connection.recv(65_536)
