"""What goes wrong with the brokers in Redis: no driver's error comes out, and nothing is said twice."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import contextmanager
from functools import partial
from itertools import count

import pytest
import redis
from fakeredis import FakeRedis, FakeServer

from djq.exceptions import BrokerUnavailable
from tests.brokers.redis_parts import AWAY, BROKERS, KINDS, on_redis, packages
from tests.caches import REDIS_URL
from tests.redis_servers import GENERATIONS, generation_program, redis_cluster, redis_server


@pytest.fixture
def server():
    with redis.Redis.from_url(REDIS_URL) as client:
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_server_that_is_away_is_unavailable(kind):
    broker = on_redis(kind, "q", url=AWAY)
    verbs = [
        lambda: broker.enqueue("x"),
        broker.dequeue,
        broker.purge_queue,
        broker.delete_queue,
        broker.queue_size,
        broker.info,
    ]
    if kind == "leases":
        verbs += [
            lambda: broker.acknowledge("1:1"),
            lambda: broker.extend("1:1"),
            lambda: broker.release("1:1"),
            lambda: broker.fail("1:1"),
            lambda: broker.delete("1"),
            broker.lock_size,
        ]

    for verb in verbs:
        with pytest.raises(
            BrokerUnavailable, match=r"queue 'q': ConnectionError.*127\.0\.0\.1:1"
        ) as caught:
            verb()
        assert "hunter2" not in str(caught.value)

    assert broker.ping() is False


@pytest.mark.parametrize("kind", KINDS)
def test_server_s_own_words_are_told_and_the_password_is_not(redis_name, kind):
    host = REDIS_URL.partition("://")[2]

    with pytest.raises(BrokerUnavailable, match="invalid username-password") as caught:
        on_redis(kind, redis_name, url=f"redis://nobody:hunter2@{host}").enqueue("x")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_key_of_another_kind_is_unavailable_with_the_server_s_words(redis_name, server, kind):
    broker = on_redis(kind, redis_name)
    server.set(f"djq:{redis_name}:q" if kind == "list" else f"djq:{{{redis_name}}}:due", "text")

    with pytest.raises(BrokerUnavailable, match="WRONGTYPE"):
        broker.enqueue("x")


@pytest.mark.parametrize("kind", KINDS)
def test_who_asks_for_nothing_gets_nothing(redis_name, kind):
    broker = on_redis(kind, redis_name)
    broker.enqueue("x")

    assert broker.dequeue(0) == []
    assert broker.queue_size() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_connection_that_the_server_ended_costs_nothing(redis_name, server, kind):
    broker = on_redis(kind, redis_name, url=f"{REDIS_URL}?client_name={redis_name}")
    broker.enqueue("a")
    (ours,) = [each for each in server.client_list() if each["name"] == redis_name]
    server.client_kill_filter(_id=ours["id"])

    broker.enqueue("b")

    assert packages(broker.dequeue(5)) == ["a", "b"]


@contextmanager
def losing_answers_to(word, url=REDIS_URL):
    """A way to the server on which it is heard, and hangs up when it was told this; gives the port."""
    parts = redis.connection.parse_url(url)
    told = []

    def serve(near):
        with near, socket.create_connection((parts["host"], parts["port"])) as far:
            while True:
                (heard, *_), _, _ = select.select([near, far], [], [])
                words = heard.recv(65_536)
                (far if heard is near else near).sendall(words)
                if not words or (heard is near and word in words):
                    break
            if words:
                told.append(words)
                far.recv(1)  # it has done it

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept():
            while True:
                try:
                    near, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(near,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], told
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("kind", "word"), [("list", b"RPUSH"), ("leases", b"EVALSHA")], ids=["list", "leases"]
)
def test_command_whose_answer_was_lost_is_not_said_again(redis_name, kind, word):
    on_redis(kind, redis_name).enqueue("learns the scripts")
    database = redis.connection.parse_url(REDIS_URL).get("db", 0)
    with losing_answers_to(word) as (port, told):
        broker = on_redis(kind, redis_name, url=f"redis://127.0.0.1:{port}/{database}")

        with pytest.raises(BrokerUnavailable):
            broker.enqueue("x")

        assert len(told) == 1
    assert on_redis(kind, redis_name).queue_size() == 2


@pytest.mark.servers
@pytest.mark.parametrize(
    ("kind", "word"), [("list", b"RPUSH"), ("leases", b"EVALSHA")], ids=["list", "leases"]
)
def test_command_whose_answer_was_lost_is_not_said_again_in_a_redis_cluster(tmp_path, kind, word):
    with redis_cluster(tmp_path) as url:
        there = on_redis(kind, "q", url=url)
        there.enqueue("learns the scripts")
        server = url.removeprefix("redis+cluster://")
        with losing_answers_to(word, f"redis://{server}") as (port, told):
            # So that all of the cluster is to be found there.
            with redis.Redis.from_url(f"redis://{server}") as client:
                client.config_set("cluster-announce-port", port)
            broker = on_redis(kind, "q", url=f"redis+cluster://127.0.0.1:{port}")

            with pytest.raises(BrokerUnavailable):
                broker.enqueue("x")

            assert len(told) == 1
        assert there.queue_size() == 2
        there.close()


def test_packages_whose_answer_was_lost_are_counted_and_others_are_not(redis_name, server):
    on_redis("list", redis_name).dequeue()  # the server learns the script
    on_redis("list", redis_name).enqueue_many(["a", "b", "c"])
    database = redis.connection.parse_url(REDIS_URL).get("db", 0)
    with losing_answers_to(b"EVALSHA") as (port, _):
        cut_off = on_redis("list", redis_name, url=f"redis://127.0.0.1:{port}/{database}")
        with pytest.raises(BrokerUnavailable) as lost:
            cut_off.dequeue(2)
    with pytest.raises(BrokerUnavailable) as not_reached:
        on_redis("list", redis_name, url=AWAY).dequeue(2)
    server.delete(f"djq:{redis_name}:q")
    server.set(f"djq:{redis_name}:q", "text")
    with pytest.raises(BrokerUnavailable) as refused:
        on_redis("list", redis_name).dequeue(2)

    assert lost.value.taken_max == 2
    assert (not_reached.value.taken_max, refused.value.taken_max) == (0, 0)


@pytest.fixture(
    params=[None, *[pytest.param(each, marks=pytest.mark.servers) for each in GENERATIONS]]
)
def small_server(request, tmp_path):
    """A server of the test's own that has hardly any memory left: the machine's, and of other generations."""
    program = generation_program(request.param) if request.param else None
    with redis_server(tmp_path, program=program) as port, redis.Redis(port=port) as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used + 2_000_000)
        yield f"redis://127.0.0.1:{port}"


def fill(broker):
    """Send until nothing more is taken: how many there are, and what was said then."""
    for sent in count():
        try:
            broker.enqueue("x" * 10_000)
        except BrokerUnavailable as error:
            return sent, str(error)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_full_server_refuses_what_is_sent_and_can_be_emptied(small_server, kind):
    broker = on_redis(kind, "q", url=small_server)
    sent, told = fill(broker)

    if kind == "leases":
        held = [receipt for receipt, _ in broker.dequeue(10)]
        broker.extend_many(held)
        broker.release_many(held, begun=False)
    came = 0
    while taken := broker.dequeue(100):
        came += len(taken)
        broker.acknowledge_many([receipt for receipt, _ in taken])
    broker.close()

    assert came == sent > 10
    assert "OOM" in told or "OutOfMemory" in told or "script" in told


SENDING = {
    "enqueue_many": lambda broker, tasks: broker.enqueue_many(tasks),
    "enqueue_later": lambda broker, tasks: broker.enqueue_later(tasks, 0),
}


@pytest.mark.parametrize("verb", SENDING)
@pytest.mark.parametrize("kind", KINDS)
def test_batch_that_fills_the_server_is_sent_as_a_whole_or_not_at_all(small_server, kind, verb):
    broker = on_redis(kind, "q", url=small_server)
    batch = [f"{number:05}" * 1_000 for number in range(900)]
    before = [batch[0], "a", batch[1]]
    SENDING[verb](broker, before)

    with pytest.raises(BrokerUnavailable, match=r"OOM|OutOfMemory|script") as caught:
        SENDING[verb](broker, batch)

    assert "were sent" not in str(caught.value)
    assert packages(broker.dequeue(10)) == before
    broker.close()


@pytest.mark.parametrize("served", [1, 2])
@pytest.mark.parametrize("verb", SENDING)
@pytest.mark.parametrize("kind", KINDS)
def test_part_of_a_batch_that_cannot_be_taken_back_is_told(kind, verb, served):
    fake = FakeServer()
    left = [served]

    class Failing(FakeRedis):
        """Serves so many commands."""

        def execute_command(self, *args, **options):
            try:
                return super().execute_command(*args, **options)
            finally:
                left[0] -= 1
                fake.connected = left[0] > 0

    options = {"retry_seconds": 60.0} if kind == "leases" else {}
    there, broker = (
        BROKERS[kind]("q", connect=partial(client, server=fake), wait_seconds=0, **options)
        for client in (FakeRedis, Failing)
    )
    SENDING[verb](there, ["x"])  # the server learns the script

    words = f"the first {300 * served} of 900 packages were sent"
    with pytest.raises(BrokerUnavailable, match=words) as caught:
        SENDING[verb](broker, ["x"] * 900)

    fake.connected = True
    assert there.queue_size() == 1 + 300 * served
    # Of the last of these portions nobody knows whether it was taken back.
    assert list(caught.value.sent) == list(range(300 * (served - 1)))


def test_batch_of_which_nothing_was_sent_is_not_said_to_be_sent_in_part():
    with pytest.raises(BrokerUnavailable) as caught:
        on_redis("list", "q", url=AWAY).enqueue_many(["x"] * 900)

    assert "were sent" not in str(caught.value)
