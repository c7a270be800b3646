"""The Disque over TCP stands what clients do: no thread of it ends in a traceback, or waits for nobody."""

from __future__ import annotations

import socket

import pytest

from djq_testing.fakes.disque import FakeDisque
from djq_testing.fakes.disque_server import serve

PATIENCE_SECONDS = 5.0


@pytest.fixture
def node(djq_clock):
    with serve(FakeDisque(djq_clock)) as (server,):
        yield server


def command(*words):
    """A command as it is sent."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def told(node, sent, *, ends=False):
    """All that a node answers to these bytes, until it hangs up; `ends`: the client has hung up."""
    with socket.create_connection(("127.0.0.1", node.port), PATIENCE_SECONDS) as client:
        client.sendall(sent)
        if ends:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def queue_size(node):
    """How many jobs wait, for another client."""
    return told(node, command(b"QLEN", b"q"), ends=True)


def comes(node, condition):
    """Whether it comes to that soon."""
    for _ in range(round(PATIENCE_SECONDS / 0.02)):
        with node.bell:
            if condition():
                return True
            node.bell.wait(0.02)
    return False


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"\x00\xff\r\n", b"expected '*'"),
        (b"PING\r\n", b"expected '*'"),
        (b"*x\r\n", b"invalid multibulk length"),
        (b"*-1\r\n", b"invalid multibulk length"),
        (b"*99999999999\r\n", b"invalid multibulk length"),
        (b"*" + b"9" * 5_000 + b"\r\n", b"invalid multibulk length"),
        (b"*" * 65_536, b"invalid multibulk length"),
        (b"*1\r\n+OK\r\n", b"expected '$'"),
        (b"*1\r\n$x\r\n", b"invalid bulk length"),
        (b"*1\r\n$-5\r\n", b"invalid bulk length"),
        (b"*1\r\n$9999999999999\r\n", b"invalid bulk length"),
    ],
)
def test_what_is_no_command_is_told_and_the_client_let_go(node, capfd, sent, words):
    answer = told(node, sent)

    assert answer.startswith(b"-ERR Protocol error: " + words)
    assert queue_size(node) == b":0\r\n"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "words",
    [
        (b"\xff\xfe",),
        (b"",),
        (b"GETJOB", b"FROM", b"q", b"TIMEOUT"),
        (b"GETJOB", b"FROM", b"q", b"COUNT", b"NOHANG"),
        (b"GETJOB", b"NOHANG", b"\xff", b"FROM", b"q"),
        (b"ADDJOB", b"q", b"x", b"0", b"TTL", b"9" * 15),
        (b"ADDJOB", b"q", b"x", b"0", b"DELAY", b"9" * 15, b"TTL", b"9" * 16),
        (b"ADDJOB", b"q", b"x", b"0", b"RETRY", b"9" * 5_000),
        (b"GETJOB", b"TIMEOUT", b"9" * 5_000, b"FROM", b"q"),
        (b"JSCAN", b"9" * 5_000),
        (b"QSCAN", b"COUNT", b"9" * 5_000),
        (b"WORKING", b"\xff" * 40),
    ],
)
def test_odd_command_has_an_answer_and_the_next_one_too(node, capfd, words):
    answer = told(node, command(*words) + command(b"QLEN", b"q"), ends=True)

    assert answer[:1] in {b"-", b"*", b"$"}
    assert answer.endswith(b"\r\n:0\r\n")
    assert capfd.readouterr().err == ""


def test_command_that_was_cut_off_is_none(node):
    whole = command(b"ADDJOB", b"q", b"body", b"0", b"TTL", b"3888000")

    answers = [told(node, whole[:length], ends=True) for length in range(len(whole))]

    assert set(answers) == {b""}
    assert queue_size(node) == b":0\r\n"


def test_client_that_is_gone_is_waited_for_no_longer_and_takes_no_job(node):
    waiting = socket.create_connection(("127.0.0.1", node.port), PATIENCE_SECONDS)
    waiting.sendall(command(b"GETJOB", b"TIMEOUT", b"3600000", b"FROM", b"q"))
    assert comes(node, lambda: node.commands)
    waiting.close()
    told(node, command(b"ADDJOB", b"q", b"body", b"0"), ends=True)

    assert queue_size(node) == b":1\r\n"
    assert comes(node, lambda: not node.connections)
