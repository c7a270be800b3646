"""What the broker in MongoDB does beyond the contract: index, clock, errors, processes, round trips."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from math import inf, nan
from uuid import uuid4

import pytest
from pymongo.errors import DocumentTooLarge
from pymongo.monitoring import CommandListener

from djq.brokers.mongo import COLLECTION, INDEX, SECONDS_MAX, MongoBroker
from djq.brokers.mongo_client import read_server
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq_testing.clock import ManualClock
from djq_testing.fakes.mongo import fake_mongo, make_fake
from tests.brokers.mongo_parts import DATABASE, VERBS, mongo_brokers
from tests.mongo_servers import KINDS, mongo_server

AWAY = {"host": "mongodb://u:hunter2@127.0.0.1:1", "serverSelectionTimeoutMS": 100}
servers = pytest.mark.servers
pytestmark = pytest.mark.usefixtures("pymongo_ends")


def packages(taken):
    return [package for _, package in taken]


def receipts(taken):
    return [receipt for receipt, _ in taken]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def make_broker(mongo_port):
    """A function that makes brokers of one queue on a server, which keep its time."""
    with mongo_brokers(mongo_port("nx-27017")) as make:
        yield make


@pytest.fixture
def make_here(clock):
    """A function that makes brokers of one queue in memory; it may be told of each round trip."""
    connect = fake_mongo()

    def make(count=None):
        there = connect if count is None else counted(connect, count)
        return make_fake("q", connect=there, clock=clock, retry_seconds=60)

    return make


def counted(connect, count):
    """The same server, with a listener."""
    database = connect()
    return fake_mongo(count, database)


# Two clusters.


@servers
@pytest.mark.parametrize(("kind", "limit"), [(kind, limit) for kind in KINDS for limit in (1, 8)])
def test_each_package_is_taken_once_by_whoever_is_first(mongo_port, kind, limit):
    sent = [str(number) for number in range(40)]

    with mongo_brokers(mongo_port(kind)) as make, ThreadPoolExecutor(4) as threads:

        def take_all(broker):
            taken = []
            while batch := broker.dequeue(limit):
                taken += packages(batch)
            return taken

        make().enqueue_many(sent)
        brokers = [make() for _ in range(4)]
        together = [each for taken in threads.map(take_all, brokers) for each in taken]

    assert sorted(together) == sorted(sent)


def test_who_is_late_for_some_takes_the_others(make_here):
    other = make_here()
    late = make_here(lambda verb: verb == "update_many" and stolen.extend(other.dequeue(1)))
    stolen = []
    other.enqueue_many(["a", "b", "c"])

    taken = late.dequeue(3)

    assert (packages(stolen), packages(taken)) == (["a"], ["b", "c"])
    late.acknowledge_many(receipts(taken))
    assert other.lock_size() == 1


def test_who_is_late_for_all_takes_what_is_behind_them(make_here):
    other = make_here()
    late = make_here(lambda verb: verb == "update_many" and stolen.extend(other.dequeue(2)))
    stolen = []
    other.enqueue_many(["a", "b", "c"])

    taken = late.dequeue(2)

    assert (packages(stolen), packages(taken)) == (["a", "b"], ["c"])


@servers
@pytest.mark.parametrize("kind", KINDS)
def test_of_receipts_of_first_and_second_deliveries_only_the_good_ones_count(mongo_port, kind):
    with mongo_brokers(mongo_port(kind), clock=ManualClock()) as make:
        broker = make()
        broker.enqueue_many(["a", "b"])
        given_back = receipts(broker.dequeue(2))
        broker.release_many(given_back)
        ((held, _),) = broker.dequeue()

        broker.extend_many([held, given_back[1]])
        sizes = [(broker.queue_size(), broker.lock_size())]
        broker.acknowledge_many([held, given_back[1]])
        sizes.append((broker.queue_size(), broker.lock_size()))

    assert sizes == [(1, 1), (1, 0)]


# The index, and round trips.


class Heard(CommandListener):
    """The commands that were said."""

    def __init__(self):
        self.commands = []

    def started(self, event):
        self.commands.append(event.command)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@servers
@pytest.mark.parametrize("kind", KINDS)
def test_index_has_what_is_asked_for_and_its_order(mongo_port, kind):
    heard = Heard()
    options = {"host": "127.0.0.1", "port": mongo_port(kind), "event_listeners": [heard]}
    with mongo_brokers(mongo_port(kind), connect=read_server(options, DATABASE)) as make:
        broker = make()
        broker.enqueue_many(["a", "b"])
        broker.dequeue()
        broker.dequeue()
        broker.dequeue(5)
        (collection,) = [broker._database[COLLECTION]]
        indexes = [index["key"] for index in collection.index_information().values()]

    assert INDEX in [list(map(tuple, keys)) for keys in indexes]
    looks = [each for each in heard.commands if "find" in each or "findAndModify" in each]
    assert len(looks) == 3
    for look in looks:
        asked, order = look.get("filter", look.get("query")), dict(look["sort"])
        assert list(asked)[:2] == ["queue", "due"]
        assert [*list(asked)[:1], *order] == [name for name, _ in INDEX]


@servers
def test_index_serves_whoever_looks_for_packages(mongo_port):
    with mongo_brokers(mongo_port("secantus")) as make:
        broker = make()
        broker.enqueue_many(["a", "b"])
        looked = broker._database[COLLECTION].find(broker._due()).explain()

    assert "'indexName': 'djq_due'" in str(looked["queryPlanner"]["winningPlan"])


@servers
def test_idle_look_is_one_query_and_a_large_batch_is_three_commands(mongo_port):
    heard = Heard()
    port = mongo_port("secantus")
    options = {"host": "127.0.0.1", "port": port, "event_listeners": [heard]}
    around = {"connect": read_server(options, DATABASE), "host_clock": ManualClock()}
    with mongo_brokers(port, **around) as make:
        broker = make()
        broker.dequeue(5)
        heard.commands.clear()

        assert broker.dequeue(5) == []
        idle = [next(iter(command)) for command in heard.commands]
        broker.enqueue_many(["x"] * 130)
        heard.commands.clear()
        assert len(broker.dequeue(130)) == 130
        batch = [next(iter(command)) for command in heard.commands]

    assert (idle, batch) == (["find"], ["find", "update", "find"])


def test_drain_takes_few_round_trips(make_here):
    tasks, bulk = 320, 32
    made = Counter()
    broker = make_here(lambda verb: made.update([verb]))
    broker.enqueue_many([str(number) for number in range(tasks)])
    assert made.pop("insert_many") == 1
    made.clear()

    while taken := broker.dequeue(bulk):
        broker.acknowledge_many(receipts(taken))

    rounds = made.total() / tasks
    print(f"MongoDB: {rounds:.3f} round trips a task, bulk {bulk}: {dict(made)}")  # noqa: T201 - shown by -s
    assert rounds < 0.13


# Time.


@servers
def test_leases_keep_the_server_s_time_whatever_the_host_says(make_broker):
    ahead = ManualClock(datetime(2099, 1, 1, tzinfo=UTC))
    broker, other = make_broker(host_clock=ahead), make_broker()
    broker.enqueue("a")

    assert packages(other.dequeue()) == ["a"]
    assert broker.dequeue() == []
    assert (other.queue_size(), broker.lock_size()) == (0, 1)


@servers
def test_lease_ends_by_the_server_s_time(make_broker):
    broker = make_broker(retry_seconds=0.05)
    broker.enqueue("a")
    broker.dequeue()
    end = time.monotonic() + 5

    while not (again := broker.dequeue()):
        assert time.monotonic() < end

    assert again[0].attempt == 2


# Sending.


def test_package_is_measured_in_bytes(make_here):
    with pytest.raises(TaskRefused, match="16,000,002 bytes"):
        make_here().enqueue("ä" * 8_000_001)


def test_package_that_cannot_be_encoded_is_refused_and_nothing_is_sent(make_here):
    broker = make_here()

    with pytest.raises(TaskRefused, match=r"takes no package with the character '\\ud800' in it"):
        broker.enqueue_many(["a", "b\ud800"])

    assert broker.queue_size() == 0


@pytest.mark.parametrize("seconds", [SECONDS_MAX + 1, 1e16, inf, -inf, nan])
def test_delay_that_no_number_can_hold_is_refused(make_here, seconds):
    broker = make_here()

    with pytest.raises(TaskRefused, match=r"3,155,760,000 seconds at most \(a hundred years\)"):
        broker.enqueue_later(["a"], seconds)

    assert broker.next_available() is None


@servers
@pytest.mark.parametrize("kind", KINDS)
def test_longest_delay_and_longest_lease_fit(mongo_port, kind):
    with mongo_brokers(mongo_port(kind), retry_seconds=SECONDS_MAX) as make:
        broker = make()
        broker.enqueue_later(["a"], SECONDS_MAX)
        broker.enqueue("b")

        assert packages(broker.dequeue(5)) == ["b"]
        assert (broker.queue_size(), broker.lock_size()) == (0, 1)


@servers
def test_largest_package_fits_beside_the_longest_name(mongo_port):
    with mongo_brokers(mongo_port("secantus")) as make:
        broker = make("é" * 67)

        broker.enqueue("x" * MongoBroker.max_payload)

        assert broker.queue_size() == 1


def test_of_what_the_server_refuses_in_part_nothing_is_sent(make_here):
    broker = make_here()
    broker.enqueue("before")
    broker._database[COLLECTION].create_index([("payload", 1)], unique=True)

    with pytest.raises(BrokerUnavailable, match="BulkWriteError"):
        broker.enqueue_many(["a", "b", "b", "c"])

    assert packages(broker.dequeue(5)) == ["before"]


def test_server_that_takes_less_than_mongodb_is_a_refusal(make_here):
    def refuse(verb):
        if verb == "insert_many":
            raise DocumentTooLarge("more than 2097152 bytes")

    with pytest.raises(TaskRefused, match="2097152"):
        make_here(refuse).enqueue("x")


# Errors.


def away():
    return MongoBroker("q", connect=read_server(AWAY), retry_seconds=60)


@pytest.mark.parametrize("verb", VERBS)
def test_server_that_is_away_is_unavailable_soon_and_no_password_is_told(verb):
    broker = away()
    before = time.monotonic()

    with pytest.raises(
        BrokerUnavailable, match="MongoDB did not serve the queue 'q': Server"
    ) as told:
        VERBS[verb](broker)
    broker.close()

    assert time.monotonic() - before < 2
    assert "hunter2" not in str(told.value) + repr(told.value.__cause__)


def test_server_that_is_away_answers_no_ping():
    broker = away()

    assert broker.ping() is False
    broker.close()


@servers
def test_wrong_password_is_unavailable_and_not_told(tmp_path):
    with mongo_server("secantus", tmp_path, "--auth") as port:
        server = read_server(f"mongodb://u:hunter2@127.0.0.1:{port}/q")
        broker = MongoBroker("q", connect=server, retry_seconds=60)

        with pytest.raises(
            BrokerUnavailable, match=r"OperationFailure: authentication failed\Z"
        ) as told:
            broker.enqueue("x")
        broker.close()

    assert "hunter2" not in str(told.value) + repr(told.value.__cause__)


@servers
@pytest.mark.parametrize(
    ("command", "verb"),
    [
        ("insert", lambda broker: broker.enqueue("x")),
        ("find", lambda broker: broker.dequeue(5)),
        ("findAndModify", lambda broker: broker.dequeue()),
        ("update", lambda broker: broker.dequeue(5)),
        ("delete", lambda broker: broker.acknowledge("a:1")),
        ("aggregate", MongoBroker.queue_size),
    ],
)
def test_command_whose_answer_was_lost_is_not_said_again(mongo_port, command, verb):
    with mongo_brokers(mongo_port("secantus")) as make:
        broker = make()
        broker.enqueue_many(["a", "b"])
        lost = {"failCommands": [command], "closeConnection": True}
        order = {"mode": {"times": 1}, "data": lost}
        broker._database.client.admin.command("configureFailPoint", "failCommand", **order)

        with pytest.raises(BrokerUnavailable, match="AutoReconnect"):
            verb(broker)

        verb(broker)


@servers
def test_copies_are_not_read_whatever_the_settings_prefer(mongo_port):
    port = mongo_port("secantus")
    uri = f"mongodb://127.0.0.1:{port}/?readPreference=secondary&serverSelectionTimeoutMS=500"
    with mongo_brokers(port, connect=read_server(uri, DATABASE)) as make:
        broker = make()
        broker.enqueue_many(["a", "b"])

        assert packages(broker.dequeue(5)) == ["a", "b"]


@servers
def test_what_was_claimed_is_read_at_once_whatever_the_settings_say(mongo_port):
    heard = Heard()
    port = mongo_port("secantus")
    options = {"host": "127.0.0.1", "port": port, "event_listeners": [heard]}
    server = read_server({**options, "readConcernLevel": "majority"}, DATABASE)
    with mongo_brokers(port, connect=server) as make:
        broker = make()
        broker.enqueue_many(["a", "b"])

        assert packages(broker.dequeue(5)) == ["a", "b"]

    levels = [each["readConcern"]["level"] for each in heard.commands if "find" in each]
    assert levels == ["local", "local"]


def test_who_asks_for_nothing_gets_nothing(make_here):
    broker = make_here()
    broker.enqueue("x")

    assert broker.dequeue(0) == []
    assert broker.queue_size() == 1


def test_receipt_of_another_broker_stands_for_nothing(make_here):
    broker = make_here()
    broker.enqueue("x")

    broker.acknowledge_many(["", "17:1", "x", ":1"])
    broker.release("17:x")

    assert broker.queue_size() == 1


@servers
def test_names_that_cannot_be_encoded_stand_for_nothing(make_broker):
    broker = make_broker()
    broker.enqueue("x")

    broker.acknowledge_many(["\ud800:1", "a:1"])
    broker.delete("\ud800")

    assert broker.queue_size() == 1


@servers
@pytest.mark.parametrize(("kind", "name"), [(KINDS[0], "MongoDB"), (KINDS[1], "MongoDB 8.")])
def test_says_the_version_where_the_server_does(mongo_port, kind, name):
    with mongo_brokers(mongo_port(kind)) as make:
        assert make().info().startswith(name)


# Processes and threads.

AFTER_A_FORK = """
import os, sys, warnings
warnings.simplefilter("error", UserWarning)
from djq.brokers.mongo import MongoBroker
from djq.brokers.mongo_client import read_server
server = read_server({"host": "127.0.0.1", "port": int(sys.argv[1])}, sys.argv[2])
broker = MongoBroker(sys.argv[3], connect=server, retry_seconds=60)
broker.enqueue("from the parent")
for closes_first in (True, False):
    child = os.fork()
    if not child:
        if closes_first:
            broker.close()
        ((receipt, package),) = broker.dequeue()
        assert package == "from the parent"
        broker.acknowledge(receipt)
        broker.enqueue("from the child")
        broker.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    ((receipt, package),) = broker.dequeue()
    assert package == "from the child"
    broker.acknowledge(receipt)
    broker.enqueue("from the parent")
broker.close()
"""


@servers
def test_child_of_a_fork_has_a_client_of_its_own(mongo_port):
    port = mongo_port("nx-27017")
    with mongo_brokers(port) as make:
        words = [str(port), DATABASE, make().list_key]
        told = subprocess.run(
            [sys.executable, "-c", AFTER_A_FORK, *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert (told.returncode, told.stdout) == (0, ""), told.stderr


CLOSED_IN_A_CHILD = """
import os, sys
from pymongo import MongoClient
from pymongo.monitoring import CommandListener
from djq.brokers.mongo import MongoBroker
from djq.brokers.mongo_client import read_server

said = []
class Heard(CommandListener):
    def started(self, event):
        said.append(event.command_name)
    def succeeded(self, event): pass
    def failed(self, event): pass

class Watched(MongoClient):
    def close(self):
        said.append("close")
        super().close()

options = {"host": "127.0.0.1", "port": int(sys.argv[1]), "event_listeners": [Heard()]}
database, queue = sys.argv[2:]
for connect in (
    read_server(options, database), lambda: Watched(**options).get_database(database)
):
    broker = MongoBroker(queue, connect=connect, retry_seconds=60)
    broker.enqueue("a")
    said.clear()
    child = os.fork()
    if not child:
        broker.close()
        os._exit(len(said))
    assert os.waitpid(child, 0)[1] == 0, "the child has spoken"
    assert broker.queue_size() == 1
    broker.delete_queue()
    broker.close()
"""


@servers
def test_child_of_a_fork_that_closes_leaves_the_parent_s_client_alone(mongo_port):
    port = mongo_port("secantus")
    words = [str(port), DATABASE, uuid4().hex]
    told = subprocess.run(
        [sys.executable, "-c", CLOSED_IN_A_CHILD, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (told.returncode, told.stdout) == (0, ""), told.stderr


@servers
def test_closing_one_of_two_brokers_leaves_the_other_its_connections(make_broker):
    first, second = make_broker(), make_broker()
    first.enqueue("a")
    second.enqueue("b")
    client = second._database.client

    first.close()

    assert packages(second.dequeue(5)) == ["a", "b"]
    assert second._database.client is client


@servers
def test_broker_in_use_can_be_pickled(make_broker):
    broker = make_broker(host_clock=ManualClock())
    broker.enqueue("a")

    copy = pickle.loads(pickle.dumps(broker))
    taken = copy.dequeue()
    copy.close()

    assert packages(taken) == ["a"]


def test_nothing_connects_before_a_verb():
    threads = set(threading.enumerate())

    broker = away()

    assert broker._database is None
    assert set(threading.enumerate()) <= threads


@servers
def test_closed_broker_leaves_no_thread(mongo_port):
    before = set(threading.enumerate())
    with mongo_brokers(mongo_port("nx-27017")) as make:
        make().enqueue("x")
        threads = set(threading.enumerate()) - before

    for thread in threads:
        thread.join(5)
    assert threads
    assert not any(thread.is_alive() for thread in threads)
