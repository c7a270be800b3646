"""What the brokers in Redis do beyond the contract: waiting, errors, processes, what they leave behind."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import pytest
import redis
from fakeredis import FakeRedis, FakeServer
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from djq.brokers.redis import RedisBroker
from djq.brokers.redis_client import read_server
from djq.brokers.redis_leases import LeasingRedisBroker
from djq.exceptions import BrokerUnavailable
from tests.brokers.redis_parts import AWAY, BROKERS, on_redis
from tests.caches import REDIS_URL, refuse_absent

KINDS = list(BROKERS)
LONG_SECONDS = 8.0
"""A wait that no test waits for; below twice the client's own patience it would be cut."""
SOON_SECONDS = 2.0


def packages(taken):
    return [package.decode() for _, package in taken]


@pytest.fixture
def server():
    with redis.Redis.from_url(REDIS_URL) as client:
        yield client


def patient(kind, name, **options):
    """A broker that waits longer than a test may take."""
    url = f"{REDIS_URL}?socket_timeout={2 * LONG_SECONDS}"
    return on_redis(kind, name, url=url, wait_seconds=LONG_SECONDS, **options)


@contextmanager
def waiting(server, *brokers):
    """Each of them waits in `dequeue` meanwhile; gives what will come."""

    def blocked():
        return sum(client["flags"] == "b" for client in server.client_list())

    before = blocked()
    with ThreadPoolExecutor() as threads:
        coming = [threads.submit(broker.dequeue, 5) for broker in brokers]
        while blocked() < before + len(brokers):
            assert not any(each.done() for each in coming)
        yield coming
    for broker in brokers:
        broker.close()


# Waiting.


@pytest.mark.parametrize("kind", KINDS)
def test_package_wakes_who_waits(redis_name, server, kind):
    with waiting(server, patient(kind, redis_name)) as (coming,):
        on_redis(kind, redis_name).enqueue("x")

        assert packages(coming.result(SOON_SECONDS)) == ["x"]


def test_package_wakes_who_waits_at_an_old_server(redis_name, server):
    broker = patient("list", redis_name)
    broker._waits_for_many = False
    with waiting(server, broker) as (coming,):
        on_redis("list", redis_name).enqueue("x")

        assert packages(coming.result(SOON_SECONDS)) == ["x"]


def test_every_cluster_that_waits_is_woken_while_packages_are_left(redis_name, server):
    brokers = [patient("leases", redis_name) for _ in range(2)]
    with waiting(server, *brokers) as coming:
        on_redis("leases", redis_name).enqueue_many([str(number) for number in range(10)])

        taken = [packages(each.result(SOON_SECONDS)) for each in coming]

    assert sorted(map(len, taken)) == [5, 5]


def test_package_that_is_given_back_wakes_who_waits(redis_name, server):
    first = on_redis("leases", redis_name)
    first.enqueue("x")
    ((receipt, _),) = first.dequeue()
    with waiting(server, patient("leases", redis_name)) as (coming,):
        first.release(receipt)

        assert packages(coming.result(SOON_SECONDS)) == ["x"]


def test_lease_that_ends_wakes_who_waits_by_the_server_s_clock(redis_name, server):
    broker = patient("leases", redis_name, retry_seconds=0.3)
    broker.enqueue("x")
    broker.dequeue()
    before = server.time()

    (again,) = broker.dequeue()
    after = server.time()
    broker.close()

    assert again.attempt == 2
    assert 0.2 < (after[0] - before[0]) + (after[1] - before[1]) / 1e6 < SOON_SECONDS


@pytest.mark.parametrize("kind", KINDS)
def test_package_for_later_wakes_who_waits_when_its_time_has_come(redis_name, kind):
    broker = patient(kind, redis_name)
    broker.enqueue_later(["x"], 0.2)

    before = time.monotonic()
    taken = broker.dequeue()
    waited = time.monotonic() - before
    broker.close()

    assert packages(taken) == ["x"]
    assert 0.1 < waited < SOON_SECONDS


@pytest.mark.parametrize("kind", KINDS)
def test_empty_dequeue_ends_before_the_client_takes_the_server_for_dead(redis_name, kind):
    broker = on_redis(kind, redis_name, url=f"{REDIS_URL}?socket_timeout=0.2", wait_seconds=60)

    assert broker.blocks
    assert broker.dequeue() == []


@pytest.mark.parametrize("kind", KINDS)
def test_broker_that_is_not_to_wait_says_so(redis_name, kind):
    broker = on_redis(kind, redis_name, wait_seconds=0)

    assert not broker.blocks
    assert broker.dequeue() == []


# Errors.


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
def losing_answers_to(word):
    """A way to the server on which it is heard, and hangs up when it was told this; gives the port."""
    parts = redis.connection.parse_url(REDIS_URL)
    told = []

    def serve(near):
        with near, socket.create_connection((parts["host"], parts["port"])) as far:
            while asked := near.recv(65_536):
                far.sendall(asked)
                answer = far.recv(65_536)
                if word in asked:
                    told.append(asked)
                    return
                near.sendall(answer)

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


@pytest.fixture
def small_server(tmp_path):
    """A server of the test's own that has hardly any memory left."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        refuse_absent("redis-server", "install it; the tests start it themselves")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    patience = Retry(ConstantBackoff(0.02), 200)
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([program, *words], stdout=log) as process,
        redis.Redis(port=port, retry=patience) as client,
    ):
        try:
            client.ping()
            used = client.info("memory")["used_memory"]
            client.config_set("maxmemory", used + 2_000_000)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.kill()


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


# Servers of other ages.


@pytest.mark.parametrize("version", [(6,), (7,), (8,)])
@pytest.mark.parametrize("kind", KINDS)
def test_server_of_any_age_gives_many_at_once(kind, version):
    fake = FakeServer(version=version)
    options = {"retry_seconds": 60.0} if kind == "leases" else {}
    broker = BROKERS[kind]("q", connect=lambda: FakeRedis(server=fake), **options)

    broker.enqueue_many(["a", "b", "c"])

    assert packages(broker.dequeue(2)) == ["a", "b"]
    assert packages(broker.dequeue(2)) == ["c"]


def test_server_that_does_not_know_a_command_is_asked_once_for_it():
    asked = []

    class Old(FakeRedis):
        def execute_command(self, *args, **options):
            asked.append(args[0])
            if args[0] in {"LMPOP", "BLMPOP"}:
                raise redis.ResponseError(
                    f"unknown command `{args[0]}`, with args beginning with: "
                )
            return super().execute_command(*args, **options)

    broker = RedisBroker("q", connect=Old, wait_seconds=0.01)
    broker.enqueue_many(["a", "b"])

    assert packages(broker.dequeue(1)) == ["a"]
    assert packages(broker.dequeue(5)) == ["b"]
    assert broker.dequeue() == []
    assert asked.count("BLMPOP") == 1


# Round trips.


@pytest.mark.parametrize("kind", KINDS)
def test_a_drain_costs_few_round_trips(kind):
    asked = []

    class Counting(FakeRedis):
        def execute_command(self, *args, **options):
            asked.append(args[0])
            return super().execute_command(*args, **options)

    options = {"retry_seconds": 60.0} if kind == "leases" else {}
    broker = BROKERS[kind]("q", connect=Counting, wait_seconds=0, **options)
    broker.enqueue_many(["x"] * 320)
    sent = len(asked)
    while taken := broker.dequeue(32):
        broker.acknowledge_many([receipt for receipt, _ in taken])

    # Scripts are loaded once each, and the last look finds nothing.
    assert (sent, len(asked) - sent) == ((2, 13) if kind == "list" else (4, 25))


# What is left, and whose receipts are good.


def test_nothing_is_left_of_what_was_acknowledged(redis_name, server):
    broker = on_redis("leases", redis_name)
    broker.enqueue_many(["a", "b", "c"])
    broker.release_many([receipt for receipt, _ in broker.dequeue(2)], begun=False)
    broker.acknowledge_many([receipt for receipt, _ in broker.dequeue(5)])
    broker.dequeue()

    last = f"djq:{{{redis_name}}}:last"
    assert server.keys(f"*{redis_name}*") == [last.encode()]
    assert 0 < server.ttl(last) <= 86_400


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_queue_that_was_deleted(redis_name, server, kind):
    broker = on_redis(kind, redis_name)
    broker.enqueue_many(["a", "b"])
    broker.dequeue()

    broker.delete_queue()

    assert server.keys(f"*{redis_name}*") == []


def test_receipt_from_before_the_server_lost_its_memory_is_void(redis_name):
    broker = on_redis("leases", redis_name)
    broker.enqueue("old")
    ((late, _),) = broker.dequeue()
    broker.delete_queue()
    broker.enqueue("new")
    broker.dequeue()

    broker.acknowledge(late)

    assert broker.lock_size() == 1


@pytest.mark.parametrize("receipt", ["", "x", "1:1", "1:1:1", ":", "ü:1", "9" * 400 + ":1"])
def test_receipt_of_another_broker_stands_for_nothing(redis_name, receipt):
    broker = on_redis("leases", redis_name)
    broker.enqueue("a")
    broker.dequeue()

    for word in (broker.acknowledge, broker.extend, broker.release, broker.fail, broker.delete):
        word(receipt)

    assert (broker.queue_size(), broker.lock_size()) == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_package_is_found_whatever_the_queue_is_called(redis_name, kind):
    broker = on_redis(kind, redis_name + "} {ü*")

    broker.enqueue("x")

    assert packages(broker.dequeue()) == ["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_client_that_decodes_answers_is_as_good(redis_name, kind):
    broker = on_redis(kind, redis_name, url=f"{REDIS_URL}?decode_responses=true")

    (tracking,) = broker.enqueue_many(["ü"])
    ((receipt, package),) = broker.dequeue()

    assert package == "ü"
    assert (tracking is None, receipt is None) == ((kind == "list"),) * 2


# Processes.


@pytest.mark.parametrize("kind", KINDS)
def test_broker_can_be_pickled(redis_name, kind):
    broker = on_redis(kind, redis_name)
    broker.enqueue("x")

    assert packages(pickle.loads(pickle.dumps(broker)).dequeue()) == ["x"]


def send_after_fork(broker, number):
    broker.close()
    broker.enqueue_many([str(number)] * 50)


@pytest.mark.parametrize("kind", KINDS)
def test_broker_is_usable_on_both_sides_of_a_fork(redis_name, kind):
    broker = on_redis(kind, redis_name)
    broker.enqueue("parent")
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=send_after_fork, args=(broker, number)) for number in range(2)]
    for child in children:
        child.start()
    broker.enqueue_many(["parent"] * 49)
    for child in children:
        child.join(SOON_SECONDS * 5)

    taken = packages(broker.dequeue(1_000))

    assert [child.exitcode for child in children] == [0, 0]
    assert sorted(taken) == ["0"] * 50 + ["1"] * 50 + ["parent"] * 50


def test_server_tells_its_version(redis_name, server):
    told = on_redis("list", redis_name).info()

    assert told.partition(" ")[0] in {"Redis", "Valkey"}
    assert server.info("server")["redis_version"] in told or told.startswith("Valkey")


def test_leases_follow_the_server_and_not_this_host(redis_name):
    server = read_server(REDIS_URL)
    broker = LeasingRedisBroker(redis_name, connect=server, retry_seconds=60.0, wait_seconds=0)
    before = int(time.time())

    (id,) = broker.enqueue_many(["x"])

    # On one machine it is the same clock; an id tells when the server took the package.
    assert before - 3_600 < int(id) // 1_000_000 < before + 3_600
