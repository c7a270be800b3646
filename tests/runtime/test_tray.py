"""Holds what a child is offered: it takes one at a time, and until then all can be taken back."""

from __future__ import annotations

import contextlib
import os

from djq.runtime.poller import Poller
from djq.runtime.tray import PACKET_BYTES_MAX, Tray
from tests.runtime.helpers import until


@contextlib.contextmanager
def tray():
    offers = Tray()
    try:
        yield offers
    finally:
        offers.close()


def test_offers_are_taken_one_at_a_time_in_order():
    with tray() as offers:
        room = offers.offer(("a", "b", "c"))

        assert room == 3
        assert [offers.take() for _ in range(4)] == ["a", "b", "c", None]


def test_what_was_not_taken_is_taken_back():
    with tray() as offers:
        offers.offer(("a", "b", "c"))
        offers.take()

        assert offers.take_all() == ["b", "c"]
        assert offers.take() is None


def test_there_is_no_room_for_ever_and_nothing_blocks():
    with tray() as offers:
        many = tuple(range(100_000))
        room = offers.offer(many)

        assert 24 <= room < len(many)
        assert offers.take_all() == list(many[:room])


def test_a_large_message_finds_no_room():
    with tray() as offers:
        room = offers.offer(("a", b"x" * PACKET_BYTES_MAX, "c"))

        assert room == 1
        assert offers.take_all() == ["a"]


def test_each_offer_is_received_by_one_of_two_processes():
    """A child takes while the parent takes back: no packet goes to both, and none is lost."""
    with tray() as offers:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            poller = Poller()
            offers.belong_to_child(poller)
            taken = 0
            while True:
                poller.wait(10)
                message = offers.take()
                if message == "end":
                    os._exit(0)
                if message is not None:
                    taken += 1
                    os.write(writer, message.to_bytes(4, "big"))
        os.close(writer)
        back, given, rounds = [], 0, 0
        while given < 3_000:
            given += offers.offer(tuple(range(given, given + 20)))
            rounds += 1
            if rounds % 3 == 0:
                back += offers.take_all()
        poller = Poller()
        until(poller, lambda: offers.offer(("end",)) == 1)
        with os.fdopen(reader, "rb") as pipe:
            data = pipe.read()
        os.waitpid(pid, 0)
        poller.close()
    taken = [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4)]

    assert sorted(taken + back) == list(range(given))
    assert taken
    assert back
