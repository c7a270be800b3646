"""A broker has one client a process: after a fork, and in a pickle."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

from djq.brokers.one_client import OneClient
from djq_testing.fakes.disque import FakeDisque
from djq_testing.fakes.disque_server import serve


class Client:
    closed = False

    def close(self):
        self.closed = True


@pytest.fixture
def holder():
    holder = OneClient()
    holder._client = Client()
    return holder


def in_a_child(ask):
    """What this gives in a child of this process, as a truth."""
    child = os.fork()
    if not child:
        os._exit(bool(ask()))
    return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_client_is_there_until_it_is_closed(holder):
    client = holder._client

    holder.close()
    holder.close()

    assert client.closed
    assert holder._client is None


def test_child_of_a_fork_has_no_client_and_its_parent_the_same(holder):
    client = holder._client

    assert in_a_child(lambda: holder._client is None)
    assert holder._client is client


def test_child_of_a_fork_ends_no_connection_of_its_parent(holder):
    client = holder._client

    def closes():
        holder.close()
        return client.closed

    assert not in_a_child(closes)


def test_copy_has_no_client(holder):
    assert pickle.loads(pickle.dumps(holder))._client is None


AFTER_A_FORK = """
import os, sys
from djq.brokers.disque import DisqueBroker
from djq.brokers.disque_client import DisqueNodes
nodes = DisqueNodes((("127.0.0.1", int(sys.argv[1])),))
broker = DisqueBroker("q", nodes=nodes, retry_seconds=60, wait_seconds=0)
broker.enqueue("from the parent")
child = os.fork()
if not child:
    ((receipt, package),) = broker.dequeue()
    assert package == b"from the parent"
    broker.acknowledge(receipt)
    broker.enqueue("from the child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
((receipt, package),) = broker.dequeue()
assert package == b"from the child"
broker.acknowledge(receipt)
broker.close()
"""


def test_both_sides_of_a_fork_talk_over_their_own_connections(djq_clock):
    with serve(FakeDisque(djq_clock)) as (server,):
        told = subprocess.run(
            [sys.executable, "-c", AFTER_A_FORK, str(server.port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert (told.returncode, told.stdout) == (0, ""), told.stderr
    assert server.commands.count(b"HELLO") == 2, "one as each connects"
