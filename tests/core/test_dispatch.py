"""Holds the sentinel's book: what each delivery's way is, and that none leaves it unseen."""

from __future__ import annotations

import attrs

from djq.core.dispatch import (
    LONG_SECONDS,
)
from tests.core.book_parts import (
    FIRST,
    LONG,
    NOON,
    SECOND,
    SHORT,
    arrived,
    begin,
    book_of,
    delivery,
    hand_out,
    queued,
    run,
    settled,
    shares,
    shares_of_the_busy,
    worker,
)

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


def test_a_worker_gets_nothing_ahead_where_others_have_been_given_all():
    book = arrived(book_of(workers=2), 2)
    begin_all = shares(book)
    begin(book)
    for child, (ticket,) in begin_all.items():
        book.returned(child, ticket, SHORT)
    book.arrive([delivery(number) for number in range(3, 6)], NOON)
    shares(book)
    begin(book)

    ahead = shares(book)

    assert sorted(ticket for tickets in ahead.values() for ticket in tickets) == [5]
