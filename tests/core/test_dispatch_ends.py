"""Holds the sentinel's book: how tasks end, what the monitor is given, and how much there is room for."""

from __future__ import annotations

import attrs
import pytest

from djq.core.dispatch import (
    KEEP_BATCH_MAX,
    RESULT_BYTES_MAX,
    RESULTS_MAX,
)
from djq.core.lifecycle import TaskState
from djq.core.protocol import Verdict
from djq.exceptions import IllegalTransition
from tests.core.book_parts import (
    FAILURE,
    FIRST,
    LONG,
    NOON,
    SECOND,
    SHORT,
    arrived,
    book_of,
    delivery,
    hand_out,
    line,
    queued,
    run,
    settled,
    shares,
    shares_of_the_busy,
    worker,
)

# Ends.


def test_a_returned_task_is_settled_with_its_outcome():
    book = arrived(book_of(), 1)
    hand_out(book)
    run(book, FIRST, 1)

    assert attrs.astuple(settled(book)[1], recurse=False) == (
        1,
        delivery(1),
        Verdict.SAVE,
        LONG,
        "",
    )
    assert book.holds(FIRST) == 0


def test_a_failure_is_left_to_the_broker_where_the_settings_say_so():
    book = arrived(book_of(ack_failures=False), 1)
    hand_out(book)
    run(book, FIRST, 1, FAILURE)

    assert settled(book)[1].verdict is Verdict.SAVE_AND_LEAVE


@pytest.mark.parametrize(
    ("started", "again"), [(False, False), (True, True)], ids=["unstarted", "returned twice"]
)
def test_a_return_that_cannot_be_is_refused(started, again):
    book = arrived(book_of(), 1)
    hand_out(book)
    if started:
        run(book, FIRST, 1)
    with pytest.raises(KeyError if again else IllegalTransition):
        book.returned(FIRST, 1, LONG)


def test_what_a_dead_worker_had_not_started_goes_back_to_the_front_in_order():
    book = book_of()
    book.pace.observe(0.001)
    arrived(book, 9)
    shares_of_the_busy(book)
    before = queued(book)
    ran = book.died(FIRST, -9, 1.0, NOON)

    assert (before, queued(book)) == ([7, 8, 9], [2, 3, 4, 5, 6, 7, 8, 9])
    assert [entry.ticket for entry in ran] == [1]
    assert {entry.delivery.attempt for entry in book.queue} == {1}
    assert {entry.state for entry in book.queue} == {TaskState.QUEUED}


def test_a_task_whose_worker_died_is_handed_back():
    book = arrived(book_of(), 1)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.died(FIRST, -9, 1.0, NOON)
    item = settled(book)[1]

    assert (item.verdict, item.outcome) == (Verdict.HAND_BACK, None)
    assert item.death == "WorkerDied: worker died: signal 9 (SIGKILL), 1 attempt"


def test_a_task_that_the_stop_ended_and_that_runs_again_tells_of_no_death():
    book = arrived(book_of(), 1)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.died(FIRST, -9, 1.0, NOON, ended=True)
    item = settled(book)[1]

    assert (item.verdict, item.death) == (Verdict.HAND_BACK, "")


@pytest.mark.parametrize(
    ("policy", "attempt", "words"),
    [
        ({"receipts": True}, 3, "WorkerDied: worker died: signal 9 (SIGKILL), 3 attempts"),
        ({"receipts": False}, 1, "WorkerDied: worker died: signal 9 (SIGKILL), 1 attempt"),
    ],
)
def test_a_task_that_killed_its_last_worker_is_a_failure(policy, attempt, words):
    book = arrived(book_of(**policy), 1, attempt=attempt)
    hand_out(book)
    book.started(FIRST, 1, 2.0)
    book.died(FIRST, -9, 5.0, NOON)
    item = settled(book)[1]

    assert (item.verdict, line(item), item.outcome.seconds) == (Verdict.SAVE, words, 3.0)
    assert item.outcome.stopped_at == NOON


def test_a_task_that_the_stop_ended_says_so():
    book = arrived(book_of(receipts=False), 1)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.died(FIRST, -9, 5.0, NOON, ended=True)

    assert line(settled(book)[1]).endswith(
        "by the stop of its cluster, when stop_timeout had passed"
    )


def test_the_death_of_a_worker_that_nobody_knows_changes_nothing():
    assert book_of().died(worker(9), -9, 0.0, NOON) == []


def test_a_new_generation_does_not_hold_what_the_old_one_held():
    book = arrived(book_of(), 2)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.died(FIRST, -9, 1.0, NOON)
    book.join(worker(0, 2))

    assert shares(book) == {worker(0, 2): [2]}
    assert book.holds(FIRST) == 0


def test_a_task_with_too_many_attempts_is_never_run():
    book = arrived(book_of(), 1, attempt=4)

    assert hand_out(book) == []
    assert line(settled(book)[1]).startswith("TooManyAttempts: no outcome after 3 attempts")


def test_the_whole_queue_can_be_recalled():
    book = arrived(book_of(), 3)
    hand_out(book)
    book.recall()

    assert {t: item.verdict for t, item in settled(book).items()} == {
        2: Verdict.HAND_BACK_UNBEGUN,
        3: Verdict.HAND_BACK_UNBEGUN,
    }
    assert (book.waiting, book.running) == (0, 1)


# Time limits.


@pytest.mark.parametrize("limit", [0.3, 1.3])
def test_a_time_limit_counts_from_the_beginning_of_the_run(limit):
    book = arrived(book_of(), 1, timeout=limit)
    hand_out(book)
    book.started(FIRST, 1, 100.0)

    assert book.next_deadline() == 100.0 + limit
    assert book.overdue(100.0 + limit - 0.001) == []
    assert book.overdue(100.0 + limit) == [FIRST]


def test_a_task_that_waits_is_never_overdue():
    book = arrived(book_of(timeout=1.0), 1)
    hand_out(book)

    assert book.next_deadline() is None
    assert book.overdue(1_000.0) == []


def test_a_task_without_a_limit_is_never_overdue():
    book = arrived(book_of(), 1)
    hand_out(book)
    book.started(FIRST, 1, 0.0)

    assert book.next_deadline() is None
    assert book.overdue(1_000_000.0) == []


def test_an_overrun_is_named_once():
    book = arrived(book_of(timeout=1.0), 1)
    hand_out(book)
    book.started(FIRST, 1, 0.0)

    assert [book.overdue(2.0), book.overdue(3.0)] == [[FIRST], []]
    assert book.next_deadline() is None


def test_the_first_of_many_deadlines_is_the_next():
    book = book_of(workers=2)
    book.arrive([delivery(1, timeout=9.0), delivery(2, timeout=5.0)], NOON)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.started(SECOND, 2, 0.0)

    assert book.next_deadline() == 5.0
    assert book.overdue(6.0) == [SECOND]
    assert book.next_deadline() == 9.0


@pytest.mark.parametrize("receipts", [True, False])
def test_a_task_that_was_ended_for_its_overrun_is_a_failure_and_runs_no_more(receipts):
    book = arrived(book_of(receipts=receipts), 1, timeout=0.3)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.overdue(0.3)
    book.died(FIRST, -9, 0.4, NOON)
    item = settled(book)[1]

    assert (item.verdict, line(item)) == (Verdict.SAVE, "TaskTimedOut: timed out after 0.3 s")
    assert item.outcome.seconds == 0.4


def test_an_overrun_is_left_to_the_broker_where_failures_are():
    book = arrived(book_of(ack_failures=False), 1, timeout=0.3)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.overdue(0.3)
    book.died(FIRST, -9, 0.4, NOON)

    assert settled(book)[1].verdict is Verdict.SAVE_AND_LEAVE


def test_an_overrun_counts_for_the_pace():
    book = book_of()
    book.pace.observe(0.001)
    arrived(book, 1, timeout=0.3)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.overdue(0.3)
    book.died(FIRST, -9, 0.3, NOON)

    assert book.pace.worker_ahead == 0


def test_a_task_that_returns_after_its_limit_but_before_its_end_has_succeeded():
    book = arrived(book_of(), 1, timeout=0.3)
    hand_out(book)
    book.started(FIRST, 1, 0.0)
    book.overdue(0.3)
    book.returned(FIRST, 1, LONG)

    assert settled(book)[1].outcome == LONG
    assert book.died(FIRST, -9, 1.0, NOON) == []


# The monitor.


def finish_all(book, count, outcome=SHORT):
    arrived(book, count)
    while book.queue:
        for child, tickets in shares(book).items():
            for ticket in tickets:
                run(book, child, ticket, outcome)


def test_the_monitor_has_one_batch_in_work_and_one_waiting():
    book = book_of()
    finish_all(book, 3 * KEEP_BATCH_MAX)
    sizes = [len(book.next_batch()) for _ in range(3)]

    assert sizes == [KEEP_BATCH_MAX, KEEP_BATCH_MAX, 0]


def test_the_next_batch_goes_out_when_the_first_is_kept_in_whatever_pieces():
    book = book_of()
    finish_all(book, 3 * KEEP_BATCH_MAX)
    first = [item.ticket for item in book.next_batch()]
    book.next_batch()
    book.kept(first[:200])
    between = book.next_batch()
    book.kept(first[200:])

    assert between == ()
    assert len(book.next_batch()) == KEEP_BATCH_MAX


def test_what_is_kept_is_forgotten():
    book = book_of()
    finish_all(book, 2)
    book.kept([item.ticket for item in book.next_batch()])

    assert (book.entries, book.unsaved, book.receipts()) == ({}, 0, ())


def test_only_what_is_settled_can_be_kept():
    book = arrived(book_of(), 1)
    with pytest.raises(IllegalTransition):
        book.kept([1])


def test_what_a_dead_monitor_had_not_confirmed_is_sent_again():
    book = book_of()
    finish_all(book, 3)
    first = book.next_batch()
    book.kept([first[0].ticket])
    book.monitor_gone()

    assert book.next_batch() == first[1:]


def test_a_new_monitor_is_not_kept_waiting_for_what_the_old_one_had():
    book = book_of()
    finish_all(book, 2 * KEEP_BATCH_MAX)
    book.next_batch()
    book.next_batch()
    book.monitor_gone()

    assert len(book.next_batch()) == KEEP_BATCH_MAX


def test_nothing_is_sent_twice_while_the_monitor_lives():
    book = book_of()
    finish_all(book, 3)

    assert len(book.next_batch()) == 3
    assert book.next_batch() == ()


def test_changed_receipts_are_known_from_then_on():
    book = arrived(book_of(workers=2), 3)
    hand_out(book)
    run(book, FIRST, 1)
    book.renewed([("r1", "s1"), ("r3", "s3"), ("unknown", "x")])

    assert book.receipts() == ("s1", "r2", "s3")
    assert settled(book)[1].delivery.receipt == "s1"


def test_a_broker_without_receipts_has_no_leases():
    assert arrived(book_of(receipts=False), 2, receipt=None).receipts() == ()


# Room.


def test_room_is_what_the_pace_wants_without_what_is_here():
    book = book_of(workers=2)
    rooms = [book.room()]
    arrived(book, 3)
    rooms.append(book.room())
    hand_out(book)
    rooms.append(book.room())
    arrived(book, 9)
    rooms.append(book.room())

    assert rooms == [4, 1, 3, 0]


def test_running_tasks_are_not_counted_in_a_queue_limit():
    book = arrived(book_of(workers=2, queue_limit=1), 2)
    hand_out(book)

    assert (book.running, book.waiting, book.room()) == (2, 0, 1)


def test_too_many_unsaved_results_stop_the_cluster_until_some_are_saved():
    book = book_of(workers=2)
    finish_all(book, RESULTS_MAX)
    arrived(book, 5)
    full = (book.is_full, book.room(), hand_out(book))
    book.kept([item.ticket for item in book.next_batch()])

    assert full == (True, 0, [])
    assert not book.is_full
    assert book.room() > 0
    assert hand_out(book) != []


def test_too_large_unsaved_results_stop_the_cluster_until_they_are_saved():
    book = arrived(book_of(), 2)
    hand_out(book)
    run(book, FIRST, 1, attrs.evolve(LONG, value=bytes(RESULT_BYTES_MAX)))
    full = (book.is_full, hand_out(book))
    book.kept([item.ticket for item in book.next_batch()])

    assert full == (True, [])
    assert shares(book) == {FIRST: [2]}
