"""Several looks at once, and nobody who waits for the one that hangs."""

from __future__ import annotations

import threading

from django.core.cache import caches

from djq.runtime.beside import side_by_side


def test_all_looks_are_under_way_at_the_same_time():
    together = threading.Barrier(3, timeout=10)
    seen = []

    side_by_side([lambda: seen.append(together.wait())] * 3, 10)

    assert sorted(seen) == [0, 1, 2]


def test_one_that_hangs_keeps_nobody_waiting_and_no_program_from_its_end():
    seen, end = [], threading.Event()

    side_by_side([lambda: (end.wait(10), seen.append("late")), lambda: seen.append("here")], 0.2)

    assert seen == ["here"]
    (late,) = [thread for thread in threading.enumerate() if thread.name == "djq look"]
    assert late.daemon
    end.set()
    late.join(10)
    assert seen == ["here", "late"]


def test_what_a_look_has_opened_is_closed_after_it():
    opened = []

    class Cache:
        is_open = True

        def close(self, **_):
            self.is_open = False

    def look():
        cache = Cache()
        caches["default"] = cache  # this thread's
        opened.append(cache)

    side_by_side([look], 10)

    assert [cache.is_open for cache in opened] == [False]


def test_no_looks_take_no_time():
    side_by_side([], 10)
