"""From the settings of Disque to its nodes: which addresses there are, and in which order they are tried."""

from __future__ import annotations

import os
import pickle
import socket
import threading

import pytest
from django.core.checks import run_checks
from redis.exceptions import ResponseError

from djq import assembly, checks
from djq.brokers.disque import DisqueBroker
from djq.brokers.disque_client import DisqueClient, DisqueNodes, read_nodes
from djq.conf import get_config
from djq.exceptions import ConfigError
from djq.runtime.clock import SystemClock
from djq.wiring import wired
from djq_testing.fakes.disque import FakeDisque
from djq_testing.fakes.disque_server import serve


def made(settings, **q_cluster):
    settings.Q_CLUSTER = {"name": "q", **q_cluster}
    return assembly.make_broker(get_config())


def test_settings_of_the_manual_are_taken(settings):
    broker = made(
        settings,
        retry=70,
        disque_nodes=("127.0.0.1:7711", " 127.0.0.1:7712"),
        disque_auth="hunter2",
        disque_fastack=True,
    )

    assert type(broker) is DisqueBroker
    assert (broker.list_key, broker.blocks, broker._retry) == ("q", True, 70)
    assert broker._done == "FASTACK"
    assert broker._nodes.addresses == (("127.0.0.1", 7711), ("127.0.0.1", 7712))
    assert broker._nodes.password == "hunter2"
    assert "hunter2" not in repr(broker._nodes)


def test_nobody_waits_on_a_clock_that_stands_in(settings, djq_clock):
    with wired(clock=djq_clock):
        broker = made(settings, disque_nodes=["127.0.0.1:7711"])

    assert not broker.blocks


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("localhost:7711", ("localhost", 7711)),
        (" 10.0.0.5:1 ", ("10.0.0.5", 1)),
        ("[::1]:7711", ("::1", 7711)),
    ],
)
def test_node_is_host_and_port(node, address):
    assert read_nodes([node, node]) == (address,)


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        *[(node, "has no port .it is not shown") for node in ("hunter2", "hunter2.example")],
        *[
            (f"hunter2:{port}", "has a port that is no number from 1 to 65535 .it is not shown")
            for port in (
                "",
                "x",
                "0",
                "-1",
                "65536",
                "70000",
                "7 711",
                "7711/0",
                "1]",
                "²",
                "9" * 5_000,
            )
        ],
        *[
            (node, "has no host before its port: .* IPv6 one in brackets .it is not shown")
            for node in (
                *(":7711", "[]:7711", "::1:7711", "::1", "[hunter2:7711", "hunter2:7711:7711"),
                *("hunter2@h:7711", "disque://hunter2:7711", "a b:7711", "a\tb:7711"),
            )
        ],
    ],
)
def test_node_that_is_none_is_told_and_not_shown(node, fault):
    with pytest.raises(ConfigError, match=rf"Node 2 of .* {fault}.*'\[::1\]:7711'") as caught:
        read_nodes(["127.0.0.1:7711", node])

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "nodes", ["hunter2:7711", b"hunter2:7711", 7711, [7711], [None], [""], [], {"hunter2": 7711}]
)
def test_what_is_no_list_of_texts_is_told_and_not_shown(settings, nodes):
    settings.Q_CLUSTER = {"disque_nodes": nodes}

    (message,) = [each for each in run_checks(tags=[checks.TAG]) if each.id == "djq.E003"]

    assert "allowed is a list of 'host:port', not empty" in message.msg
    assert "hunter2" not in message.msg


@pytest.mark.parametrize(
    ("q_cluster", "words"),
    [
        ({"disque_nodes": ["localhost"]}, "Node 1"),
        ({"disque_nodes": ["h:" + "9" * 5_000]}, "Node 1"),
        ({"disque_nodes": ["h:1"], "retry": 1_000_001}, "at most"),
    ],
)
def test_checks_tell_of_wrong_settings(settings, q_cluster, words):
    settings.Q_CLUSTER = q_cluster

    (message,) = run_checks(tags=[checks.TAG])

    assert message.id == "djq.E012"
    assert words in message.msg


def test_checks_connect_to_nothing(settings):
    settings.Q_CLUSTER = {"disque_nodes": ["127.0.0.1:1"], "disque_auth": "hunter2"}

    assert run_checks(tags=[checks.TAG]) == []


def test_order_of_the_nodes_is_drawn_and_the_setting_is_left_as_it_was():
    addresses = tuple(("127.0.0.1", port) for port in range(1, 40))
    nodes = DisqueNodes(addresses)

    orders = {tuple(nodes.shuffled(nodes.addresses)) for _ in range(3)}

    assert len(orders) == 3
    assert {frozenset(order) for order in orders} == {frozenset(addresses)}
    assert nodes.addresses == addresses


def test_nodes_travel_without_what_one_process_drew_and_saw_of_them(djq_clock):
    with serve(FakeDisque(djq_clock, nodes=2, password="p")) as servers:
        addresses = tuple(("127.0.0.1", server.port) for server in servers)
        nodes = DisqueNodes(addresses, password="p", shuffled=list, host_clock=SystemClock())
        client = nodes.connect()
        nodes.shun(client)
        client.close()

        copy = pickle.loads(pickle.dumps(nodes))

        assert (copy, copy._order) == (nodes, [])
        again = copy.connect()
        again.close()
        assert again.address == addresses[0]
        assert [other.address for other in copy.others(None)] == list(addresses)
        assert copy.shuffled is list


def test_child_of_a_fork_has_an_order_of_its_own(djq_clock):
    with serve(FakeDisque(djq_clock, nodes=2)) as servers:
        addresses = tuple(("127.0.0.1", server.port) for server in servers)
        nodes = DisqueNodes(addresses, shuffled=list)
        nodes.connect().close()

        child = os.fork()
        if not child:
            os._exit(addresses.index(nodes.connect().address))

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        second = nodes.connect()
        second.close()
        assert second.address == addresses[1]


def test_broker_that_travels_has_its_own_connection(djq_clock):
    with serve(FakeDisque(djq_clock)) as (server,):
        nodes = DisqueNodes((("127.0.0.1", server.port),))
        broker = DisqueBroker("q", nodes=nodes, retry_seconds=60, wait_seconds=0)
        broker.enqueue("a")

        copy = pickle.loads(pickle.dumps(broker))

        assert len(server.connections) == 1
        assert copy.queue_size() == 1
        assert len(server.connections) == 2
        broker.close()
        copy.close()


def test_server_that_is_no_disque_is_not_taken_for_one():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_be_another_server, args=(listening,), daemon=True)
        thread.start()

        with pytest.raises(ResponseError):
            DisqueClient(listening.getsockname(), None)

        thread.join(5)


def _be_another_server(listening):
    connection, _ = listening.accept()
    with connection:
        while connection.recv(65_536):
            connection.sendall(b"-ERR unknown command\r\n" * 2)
