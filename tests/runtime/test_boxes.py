"""Holds what each thread of a cluster is given."""

from __future__ import annotations

import threading

from djq.boxes import Threads
from djq.core.lifecycle import ChildId, Role
from djq.runtime.threads import Bell, Lane, ThreadLink


class Empty:
    """A broker that is false, as whatever has a length and is empty."""

    closed = False

    def __len__(self):
        return 0

    def close(self):
        self.closed = True


class Boxes:
    """Remembers the seat of the last leaf that it was asked for."""

    broker = Empty()

    def leaf(self, _role, seat):
        self.seat = seat


def test_the_broker_of_a_thread_is_its_own_even_when_it_is_false():
    own, boxes = Empty(), Boxes()
    link = ThreadLink(Lane(Bell()), Lane(Bell(), is_closed=True))
    life = Threads(boxes=boxes, make_broker=lambda: own).leaf
    thread = threading.Thread(target=life, args=(ChildId(Role.PUSHER, 0, 1), "", link, Bell()))

    thread.start()
    thread.join()

    assert boxes.seat.broker is own
    assert own.closed
