"""The IronMQ over HTTP stands what clients do: no thread of it ends in a traceback, or waits for nobody."""

from __future__ import annotations

import json
import socket

import pytest

from djq.runtime.clock import SystemClock
from djq_testing.fakes.ironmq import IronMqService
from djq_testing.fakes.ironmq_server import serve

PATIENCE_SECONDS = 5.0
QUEUE = "/3/projects/project/queues/q"


@pytest.fixture
def server():
    with serve(IronMqService(SystemClock())) as server:
        server.service.answer("PUT", QUEUE, b"{}", "OAuth token")
        yield server


def request(method, path, body=b"", length=None):
    """A request as it is sent."""
    length = len(body) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nAuthorization: OAuth token\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def told(server, sent, *, ends=False):
    """All that is answered to these bytes, until the server hangs up; `ends`: the client has hung up."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as client:
        client.sendall(sent)
        if ends:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def put_one(server):
    """Post a message, as another client."""
    message = request("POST", f"{QUEUE}/messages", b'{"messages": [{"body": "x"}]}')
    told(server, message, ends=True)


def comes(server, condition):
    """Whether it comes to that soon."""
    for _ in range(round(PATIENCE_SECONDS / 0.02)):
        with server.news:
            if condition():
                return True
            server.news.wait(0.02)
    return False


@pytest.mark.parametrize("length", ["x", "-1", "²", "99999999999999", "67108865", "9" * 5_000])
def test_length_that_is_none_is_told_and_the_client_let_go(server, capfd, length):
    answer = told(server, request("POST", f"{QUEUE}/messages", b"{}", length))

    assert answer.startswith(b"HTTP/1.1 411 ")
    assert server.service.queues["q"].messages == {}
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "//[/", b""),
        ("POST", "/reservations", b""),
        ("POST", "/reservations", b"{"),
        *[
            (method, QUEUE + path, body)
            for method, path in (
                *(("PUT", ""), ("PATCH", ""), ("POST", "/messages"), ("DELETE", "/messages")),
                *(("POST", "/reservations"), ("POST", "/messages/1/touch")),
            )
            for body in (b"{", b"\xff", b"[" * 100_000, b"[1]", b"null", b'"x"')
        ],
        ("PUT", QUEUE, b'{"queue": 5}'),
        ("PUT", QUEUE, b'{"queue": {"message_expiration": "x"}}'),
        ("PATCH", QUEUE, b'{"queue": {"message_timeout": []}}'),
        ("POST", f"{QUEUE}/messages", b'{"messages": 5}'),
        ("POST", f"{QUEUE}/messages", b'{"messages": ["x"]}'),
        ("POST", f"{QUEUE}/messages", b'{"messages": {"body": "x"}}'),
        ("DELETE", f"{QUEUE}/messages", b'{"ids": 5}'),
        ("DELETE", f"{QUEUE}/messages", b'{"ids": ["x"]}'),
        ("DELETE", f"{QUEUE}/messages", b'{"ids": [{}]}'),
        ("DELETE", f"{QUEUE}/messages", b'{"ids": [{"id": []}]}'),
        ("POST", f"{QUEUE}/reservations", b'{"wait": "x"}'),
        ("POST", f"{QUEUE}/reservations", b'{"wait": 31}'),
    ],
)
def test_odd_request_is_refused_and_the_next_one_is_served(server, capfd, method, path, body):
    answer = told(server, request(method, path, body) + request("GET", QUEUE), ends=True)

    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert first[:2] == b"40"
    assert json.loads(first.partition(b"\r\n\r\n")[2])["msg"]
    assert second.startswith(b"200 ")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("method", "body"), [("POST", b'{"messages": [{"body": "x"}]}'), ("DELETE", b"{}")]
)
def test_request_that_was_cut_off_is_none(server, capfd, method, body):
    put_one(server)
    whole = request(method, f"{QUEUE}/messages", body)

    for length in range(len(whole)):
        told(server, whole[:length], ends=True)

    assert len(server.service.queues["q"].messages) == 1
    assert capfd.readouterr().err == ""


def test_client_that_is_gone_is_waited_for_no_longer_and_takes_no_message(server, capfd):
    waiting = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)
    waiting.sendall(request("POST", f"{QUEUE}/reservations", b'{"wait": 30, "timeout": 60}'))
    assert comes(server, lambda: "POST reservations" in server.service.asked)
    waiting.close()
    put_one(server)

    assert comes(server, lambda: not server.open)
    assert server.service.lent("q") == 0
    assert capfd.readouterr().err == ""
