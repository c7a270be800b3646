"""Holds the sentinel's book: what each delivery's way is, and that none leaves it unseen."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import attrs
import pytest

from djq.core.dispatch import (
    KEEP_BATCH_MAX,
    LONG_SECONDS,
    RESULT_BYTES_MAX,
    RESULTS_MAX,
    Book,
)
from djq.core.lifecycle import ChildId, Role, TaskState
from djq.core.message import Outcome
from djq.core.pace import Pace
from djq.core.protocol import Delivery, Verdict
from djq.core.settlement import Policy, failure
from djq.exceptions import IllegalTransition

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG = Outcome(True, b"value", "", NOON, 1.0)
SHORT = attrs.evolve(LONG, seconds=0.0001)
FAILURE = failure("ValueError: no", NOON, 1.0)


def worker(slot, generation=1):
    return ChildId(Role.WORKER, slot, generation)


FIRST, SECOND = worker(0), worker(1)


def delivery(number=1, **changes):
    name = f"task-{number}"
    given = Delivery(f"{number:032x}", name, "math.modf", None, None, f"r{number}", 1, b"frame")
    return attrs.evolve(given, **changes)


def book_of(*, workers=1, queue_limit=None, capacity=1, budget=None, **policy):
    policy.setdefault("receipts", True)
    book = Book(Policy(**policy), Pace(workers=workers, queue_limit=queue_limit))
    for slot in range(workers):
        book.join(worker(slot), capacity=capacity, budget=budget)
    return book


def arrived(book, count, **changes):
    book.arrive([delivery(number, **changes) for number in range(1, count + 1)], NOON)
    return book


def hand_out(book, now=0.0):
    return [*book.assign(now), *book.assign_ahead(now)]


def shares(book, now=0.0):
    given = {}
    for child, entries in hand_out(book, now):
        given.setdefault(child, []).extend(entry.ticket for entry in entries)
    return given


def begin(book, now=0.0):
    """Every worker begins what it was given first."""
    for held in list(book.workers.values()):
        for entry in held.oldest():
            if entry.state is TaskState.HELD:
                book.started(held.child, entry.ticket, now)


def shares_of_the_busy(book):
    """What is handed out to workers with nothing to do, and then, when they have begun it, ahead."""
    given = shares(book)
    begin(book)
    for child, tickets in shares(book).items():
        given[child] = given.get(child, []) + tickets
    return given


def queued(book):
    return [entry.ticket for entry in book.queue]


def settled(book):
    return {item.ticket: item for item in book.next_batch()}


def run(book, child, ticket, outcome=LONG, now=0.0):
    book.started(child, ticket, now)
    book.returned(child, ticket, outcome)


def line(item):
    return pickle.loads(item.outcome.value)


# Handing out.


def test_each_delivery_has_a_ticket_of_its_own():
    book = book_of(workers=2)
    book.arrive([delivery(1), delivery(1, receipt="r2", attempt=2)], NOON)

    assert shares(book) == {FIRST: [1], SECOND: [2]}


def test_nothing_is_handed_out_when_nothing_waits():
    assert hand_out(book_of()) == []


def test_nothing_is_handed_out_when_there_is_no_worker():
    book = arrived(book_of(workers=0), 2)

    assert hand_out(book) == []
    assert queued(book) == [1, 2]


def test_before_a_task_was_seen_each_worker_gets_one():
    book = arrived(book_of(workers=2), 5)

    assert shares(book) == {FIRST: [1], SECOND: [2]}
    assert shares(book) == {}


def test_a_worker_gets_as_many_as_it_runs_at_a_time():
    book = arrived(book_of(workers=2, capacity=2), 5)

    assert shares(book) == {FIRST: [1, 2], SECOND: [3, 4]}
    assert (book.running, book.waiting) == (4, 1)


def test_the_worker_with_least_to_do_comes_first():
    book = arrived(book_of(workers=2), 2)
    hand_out(book)
    run(book, SECOND, 2)
    book.arrive([delivery(3)], NOON)

    assert shares(book) == {SECOND: [3]}


def test_short_tasks_lie_ahead_at_the_workers_in_equal_shares():
    book = book_of(workers=2)
    book.pace.observe(0.001)
    arrived(book, 20)

    assert shares_of_the_busy(book) == {
        FIRST: [1, 3, 4, 5, 6, 7],
        SECOND: [2, 8, 9, 10, 11, 12],
    }


def test_few_short_tasks_are_shared_out_and_not_heaped_up():
    book = book_of(workers=2)
    book.pace.observe(0.001)
    arrived(book, 4)

    assert shares_of_the_busy(book) == {FIRST: [1, 3], SECOND: [2, 4]}


def test_nothing_lies_ahead_of_a_worker_that_has_not_begun():
    """An offer goes another way than an order: it might be taken first, and run out of turn."""
    book = book_of()
    book.pace.observe(0.001)
    arrived(book, 4)

    assert shares(book) == {FIRST: [1]}
    assert shares(book) == {}


def test_a_worker_gets_more_ahead_only_when_half_of_it_is_gone():
    book = book_of()
    book.pace.observe(0.001)
    arrived(book, 20)
    shares_of_the_busy(book)
    handed = []
    for ticket in range(1, 5):
        book.returned(FIRST, ticket, attrs.evolve(LONG, seconds=0.001))
        begin(book)
        handed.append(sum(map(len, shares(book).values())))

    assert handed == [0, 0, 3, 0]


def test_long_tasks_do_not_lie_ahead():
    book = book_of()
    book.pace.observe(0.001)
    book.pace.observe(0.1)
    arrived(book, 20)

    assert shares(book) == {FIRST: [1]}


def test_a_closed_worker_gets_nothing_more():
    book = arrived(book_of(workers=2), 4)
    book.close(FIRST)
    book.close(worker(9))

    assert shares(book) == {SECOND: [1]}


# Budgets: a worker is recycled after exactly so many tasks.


def test_a_worker_gets_exactly_its_budget():
    book = arrived(book_of(budget=3), 9)
    given = []
    for _ in range(5):
        for ticket in shares(book).get(FIRST, []):
            given.append(ticket)
            run(book, FIRST, ticket, SHORT)

    assert given == [1, 2, 3]
    assert book.exhausted() == [FIRST]
    assert queued(book) == [4, 5, 6, 7, 8, 9]


def test_tasks_that_lie_ahead_are_part_of_the_budget():
    book = book_of(budget=3)
    book.pace.observe(0.0001)
    arrived(book, 9)

    assert shares_of_the_busy(book) == {FIRST: [1, 2, 3]}


def test_a_worker_that_is_closed_is_not_named_as_exhausted_again():
    book = arrived(book_of(budget=1), 1)
    before = book.exhausted()
    hand_out(book)
    book.close(FIRST)

    assert (before, book.exhausted()) == ([], [])


def test_a_worker_without_a_budget_is_never_exhausted():
    book = arrived(book_of(), 1)
    hand_out(book)

    assert book.exhausted() == []


# Ends.


def test_a_returned_task_is_settled_with_its_outcome():
    book = arrived(book_of(), 1)
    hand_out(book)
    run(book, FIRST, 1)

    assert attrs.astuple(settled(book)[1], recurse=False) == (1, delivery(1), Verdict.SAVE, LONG)
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


# What lies ahead behind a long task.


def ahead_of_a_task_that_began(now=0.0):
    """A book in which the first worker runs ticket 2, with 3 and 4 behind it."""
    book = arrived(book_of(), 4)
    hand_out(book)
    run(book, FIRST, 1, SHORT)
    assert shares(book, now) == {FIRST: [2]}
    begin(book, now)
    assert shares(book, now) == {FIRST: [3, 4]}
    return book


def test_a_worker_is_stuck_when_its_task_has_become_long():
    book = ahead_of_a_task_that_began(now=5.0)

    assert book.stuck(5.0 + LONG_SECONDS / 2) == []
    assert book.next_stuck() == 5.0 + LONG_SECONDS
    assert book.stuck(5.0 + LONG_SECONDS) == [FIRST]
    assert book.stuck(6.0) == []
    assert book.next_stuck() is None


def test_a_worker_that_does_not_go_on_is_stuck_too():
    book = ahead_of_a_task_that_began(now=5.0)
    book.returned(FIRST, 2, SHORT)

    assert book.stuck(5.0 + LONG_SECONDS) == [FIRST]


def test_a_worker_with_nothing_behind_its_task_is_not_stuck():
    book = arrived(book_of(), 1)
    hand_out(book)
    book.started(FIRST, 1, 0.0)

    assert book.stuck(100.0) == []
    assert book.next_stuck() is None


def test_what_is_taken_back_is_the_next_for_another_worker():
    book = ahead_of_a_task_that_began()
    book.stuck(1.0)
    book.take_back(FIRST, [3, 4])
    book.join(SECOND)

    assert shares(book, now=1.0) == {SECOND: [3]}
    assert queued(book) == [4]


def test_nothing_more_is_laid_behind_a_task_that_runs_for_long():
    book = ahead_of_a_task_that_began()
    book.stuck(1.0)
    book.take_back(FIRST, [3, 4])

    assert shares(book, now=1.0) == {}
    book.returned(FIRST, 2, SHORT)
    assert shares(book, now=1.0) == {FIRST: [3]}


def test_what_is_taken_back_is_part_of_the_budget_again():
    book = arrived(book_of(budget=3), 4)
    hand_out(book)
    run(book, FIRST, 1, SHORT)
    shares_of_the_busy(book)
    book.take_back(FIRST, [3])
    book.returned(FIRST, 2, SHORT)

    assert shares(book) == {FIRST: [3]}
    assert book.exhausted() == [FIRST]


def test_a_task_that_began_while_its_worker_was_killed_for_another_is_no_failure():
    book = arrived(book_of(timeout=0.3), 3)
    hand_out(book)
    run(book, FIRST, 1, SHORT)
    shares_of_the_busy(book)
    book.overdue(0.3)
    book.returned(FIRST, 2, LONG)
    book.started(FIRST, 3, 0.3)
    book.died(FIRST, -9, 0.3, NOON)

    ends = settled(book)
    assert ends[2].outcome == LONG
    assert ends[3].outcome is None
    assert ends[3].verdict.hands_back
