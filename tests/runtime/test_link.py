"""Holds the pipe between two boxes: whole messages, in order, and nobody blocks the sentinel."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.protocol import Credit, Ready
from djq.runtime.link import HEAD, MARK, READ_BYTES, READS_MAX, SocketLink, socket_pair
from djq.runtime.poller import Poller
from tests.runtime.helpers import until


def framed(*messages):
    """What the messages are on the wire."""
    bodies = [pickle.dumps(message, 5) for message in messages]
    return b"".join(HEAD.pack(MARK, len(body)) + body for body in bodies)


@contextlib.contextmanager
def raw_end():
    """A link, its poller, and the bare socket at the other end."""
    ours, theirs = socket_pair()
    poller = Poller()
    link = SocketLink(ours, poller, waits=False)
    with theirs:
        yield link, poller, theirs
    link.close()
    poller.close()


@pytest.fixture
def raw():
    with raw_end() as end:
        yield end


@contextlib.contextmanager
def child(main):
    """Run `main(link)` in a forked process: gives our link and poller."""
    ours, theirs = socket_pair()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ours.close()
            poller = Poller()
            main(SocketLink(theirs, poller, waits=True), poller)
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    poller = Poller()
    link = SocketLink(ours, poller, waits=False)
    try:
        yield link, poller
    finally:
        link.close()
        poller.close()
        _, status = os.waitpid(pid, 0)
    assert status == 0


def received(link, poller, count):
    """The next messages, as many as asked for."""
    messages = []

    def enough():
        messages.extend(link.receive())
        return len(messages) >= count

    until(poller, enough)
    return messages


def test_messages_arrive_whole_and_in_order(raw):
    link, poller, theirs = raw
    theirs.sendall(framed(Ready(1), Credit(2), Credit(3)))

    assert received(link, poller, 3) == [Ready(1), Credit(2), Credit(3)]
    assert not link.receive()


def test_nothing_to_send_is_not_sent(raw):
    link, _, theirs = raw
    link.send()
    link.send(Credit(1))
    theirs.setblocking(False)

    assert theirs.recv(100_000) == framed(Credit(1))


@given(
    st.lists(st.binary(max_size=300) | st.integers() | st.none(), max_size=8),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_messages_arrive_however_the_bytes_are_cut(messages, sizes):
    data, got, cut = framed(*messages), [], 0
    with raw_end() as (link, poller, theirs):
        while data:
            size = sizes[cut % len(sizes)]
            cut += 1
            theirs.send(data[:size])
            data = data[size:]
            poller.wait(0)
            got += link.receive()

    assert got == messages


def test_a_link_that_was_not_told_of_bytes_reads_them_once_asked_to(raw):
    link, _, theirs = raw
    link.receive()
    theirs.sendall(framed(Credit(1)))
    before = link.receive()
    link.look()

    assert (list(before), link.receive()) == ([], [Credit(1)])


def test_half_a_frame_of_a_box_that_died_is_dropped(raw):
    link, poller, theirs = raw
    theirs.sendall(framed(Credit(1)) + framed(Credit(2))[:-1])
    theirs.close()
    until(poller, lambda: bool(link.receive() or link.ended))
    poller.wait(0)
    link.receive()

    assert link.ended
    assert link.receive() == ()


def test_what_a_dead_box_had_sent_is_received_before_its_end(raw):
    link, poller, theirs = raw
    theirs.sendall(framed(*[Credit(n) for n in range(100)]))
    theirs.close()
    ended = link.ended

    assert not ended
    assert received(link, poller, 100) == [Credit(n) for n in range(100)]
    until(poller, lambda: link.receive() == () or link.ended)


def test_garbage_ends_the_link_after_what_came_before_it(raw):
    link, poller, theirs = raw
    theirs.sendall(framed(Credit(1)) + b"a line that some task printed here")
    messages = received(link, poller, 1)
    theirs.setblocking(False)

    assert messages == [Credit(1)]
    assert link.ended
    assert theirs.recv(1) == b""
    assert link.receive() == ()


def test_sending_to_a_box_that_is_gone_does_nothing(raw):
    link, _, theirs = raw
    theirs.close()
    for _ in range(3):
        link.send(Credit(1))

    assert not link.clogged


def test_a_child_that_sends_to_a_sentinel_that_is_gone_does_nothing():
    ours, theirs = socket_pair()
    poller = Poller()
    link = SocketLink(theirs, poller, waits=True)
    ours.close()
    for _ in range(3):
        link.send(Credit(1))
    link.receive()

    assert link.ended
    link.close()
    link.close()
    poller.close()


def test_the_sentinel_s_end_never_blocks_and_loses_nothing(raw):
    link, poller, theirs = raw
    for number in range(50):
        link.send(number, bytes(100_000))
    clogged = link.clogged
    reader = SocketLink(theirs, poller, waits=False)
    messages = received(reader, poller, 100)

    assert clogged
    assert not link.clogged
    assert messages[::2] == list(range(50))
    assert {len(message) for message in messages[1::2]} == {100_000}


def test_a_box_that_dies_with_its_mail_unread_unclogs_the_link(raw):
    link, poller, theirs = raw
    link.send(bytes(5_000_000))
    clogged = link.clogged
    theirs.close()
    until(poller, lambda: not link.clogged)

    assert clogged
    link.send(Credit(1))
    assert not link.clogged


def test_one_talkative_box_does_not_keep_the_reader(raw):
    link, poller, theirs = raw
    most = READ_BYTES * READS_MAX
    large = framed(bytes(most), Credit(1), Credit(2))
    theirs.setblocking(False)
    sizes, messages = [], []

    def step():
        nonlocal large
        with contextlib.suppress(BlockingIOError):
            while large:
                large = large[theirs.send(large) :]
        messages.extend(link.receive())
        sizes.append(len(link._in))
        return len(messages) == 3

    until(poller, step)

    assert max(sizes) <= most + READ_BYTES
    assert messages[1:] == [Credit(1), Credit(2)]


def test_a_message_of_fifty_megabytes_passes():
    def main(link, poller):
        (message,) = received(link, poller, 1)
        link.send(message[::-1])

    message = bytes(1_000) + os.urandom(1_000) * 50_000
    with child(main) as (link, poller):
        link.send(message)
        (answer,) = received(link, poller, 1)

    assert answer == message[::-1]


def test_fifty_thousand_small_messages_pass_both_ways():
    count = 50_000

    def main(link, poller):
        left = count
        while left:
            poller.wait(5)
            messages = link.receive()
            left -= len(messages)
            link.send(*messages)

    messages = [number.to_bytes(4, "big") * 50 for number in range(count)]
    with child(main) as (link, poller):
        for start in range(0, count, 10):
            link.send(*messages[start : start + 10])
        answers = received(link, poller, count)

    assert answers == messages


def test_an_end_that_waited_can_be_told_not_to():
    ours, theirs = socket_pair()
    poller = Poller()
    link = SocketLink(ours, poller, waits=True)
    link.never_wait()
    link.send(bytes(5_000_000))
    clogged = link.clogged
    link.close()
    theirs.close()
    poller.close()

    assert clogged


def test_neither_end_survives_an_exec():
    ends = socket_pair()
    inheritable = [end.get_inheritable() for end in ends]
    for end in ends:
        end.close()

    assert inheritable == [False, False]
    assert ends[0].family is socket.AF_UNIX
