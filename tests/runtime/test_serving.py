"""A page served over loopback: what a client gets, and whom one that hangs keeps waiting."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import closing

import pytest

from djq.runtime.serving import PageServer

HOST = "127.0.0.1"


@pytest.fixture
def serve():
    """A function that serves a page; gives the server."""
    servers = []

    def start(page, host=HOST):
        servers.append(PageServer(host=host, port=0, path="/metrics", page=page))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def say(accept):
    return f"asked for {accept}\n".encode(), "text/plain; version=0.0.4"


def wait_for_threads():
    """Wait until all requests are over on the server's side too."""
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(20)
            assert not thread.is_alive()


def ask(server, path="/metrics", method="GET", host=HOST, **headers):
    with closing(http.client.HTTPConnection(host, server.port, timeout=10)) as client:
        client.request(method, path, headers=headers)
        answer = client.getresponse()
        return answer, answer.read()


@pytest.mark.parametrize("path", ["/metrics", "/metrics?name=djq_up"])
def test_the_page_is_made_for_whoever_asks(serve, path):
    answer, body = ask(serve(say), path, Accept="text/html")

    assert (answer.status, body) == (200, b"asked for text/html\n")
    assert answer.getheader("Content-Type") == "text/plain; version=0.0.4"
    assert answer.getheader("Content-Length") == str(len(body))
    assert answer.getheader("Cache-Control") == "no-store"


def test_a_head_has_no_body(serve):
    answer, body = ask(serve(say), method="HEAD")

    assert (answer.status, body, answer.getheader("Content-Length")) == (200, b"", "11")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/admin"])
def test_there_is_one_page(serve, path):
    answer, body = ask(serve(say), path)

    assert (answer.status, body) == (404, b"The page is /metrics\n")


def test_nothing_can_be_sent(serve):
    answer, _ = ask(serve(say), method="POST")

    assert answer.status == 501


def test_a_page_that_fails_says_where_the_reason_is_and_the_next_one_comes(serve, capfd):
    pages = iter([ValueError("redis://:secret@h"), None])

    def page(_accept):
        if error := next(pages):
            raise error
        return b"well", "text/plain"

    server = serve(page)
    first, second = ask(server), ask(server)

    assert (first[0].status, first[1]) == (500, b"No page; standard error has the reason.\n")
    assert (second[0].status, second[1]) == (200, b"well")
    wait_for_threads()
    assert "ValueError: redis://:secret@h" in capfd.readouterr().err


def test_who_hangs_keeps_nobody_waiting(serve):
    hangs, asked = threading.Event(), threading.Event()

    def page(accept):
        if accept == "slow":
            asked.set()
            hangs.wait(10)
        return b"well", "text/plain"

    server = serve(page)
    with (
        closing(socket.create_connection((HOST, server.port), timeout=10)) as silent,
        closing(http.client.HTTPConnection(HOST, server.port, timeout=10)) as slow,
    ):
        silent.sendall(b"GET /metrics")
        slow.request("GET", "/metrics", headers={"Accept": "slow"})
        assert asked.wait(10)

        assert ask(server)[1] == b"well"
        server.close()
        assert not hangs.is_set()
        hangs.set()
        assert slow.getresponse().read() == b"well"


def test_a_client_that_is_gone_is_no_news(serve, capfd):
    asked, goes = threading.Event(), threading.Event()

    def page(accept):
        if accept == "gone":
            asked.set()
            goes.wait(10)
            return b"x" * 10_000_000, "text/plain"
        return b"well", "text/plain"

    server = serve(page)
    with closing(http.client.HTTPConnection(HOST, server.port, timeout=10)) as client:
        client.request("GET", "/metrics", headers={"Accept": "gone"})
        assert asked.wait(10)
    goes.set()

    assert ask(server)[1] == b"well"
    wait_for_threads()
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_an_error(serve):
    port = serve(say).port

    with pytest.raises(OSError, match="in use"):
        PageServer(host=HOST, port=port, path="/metrics", page=say)


def test_the_address_is_told_as_it_is_asked_for(serve):
    server = serve(say)

    assert server.url == f"http://127.0.0.1:{server.port}/metrics"


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
def test_an_address_of_ipv6_has_brackets(serve):
    try:
        server = serve(say, host="::1")
    except OSError as error:
        pytest.skip(f"no loopback of IPv6: {error}")

    assert server.url == f"http://[::1]:{server.port}/metrics"
    assert ask(server, host="::1")[0].status == 200
