"""Holds the courier of reports: nobody waits for a reporter, and the log says what is lost."""

from __future__ import annotations

import threading

import pytest

from djq.core.events import ReportLost
from djq.runtime.courier import WAITING_MAX, Courier
from tests.components.parts import Remembering, RememberingReporter

SOON = 10.0
"""More than anything here takes."""


class Hanging(RememberingReporter):
    """Does not come back before the test lets it."""

    def __init__(self):
        super().__init__()
        self.is_called = threading.Event()
        self.is_released = threading.Event()

    def report(self, error, about):
        self.is_called.set()
        assert self.is_released.wait(SOON)
        super().report(error, about)


class Failing(RememberingReporter):
    fails = True

    def report(self, error, about):
        super().report(error, about)
        if self.fails:
            raise SystemExit("no such project")


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("cannot be printed")


@pytest.fixture
def hanging():
    reporter = Hanging()
    yield reporter
    reporter.is_released.set()


@pytest.fixture(autouse=True)
def _no_thread_is_left(request):
    """The next test may fork."""
    yield
    for thread in threading.enumerate():
        if thread.name == "djq reporter":
            thread.join(SOON)


def courier_of(**reporters):
    observer = Remembering()
    makers = {name: lambda made=made: made for name, made in reporters.items()}
    return Courier(makers=makers, observer=observer, cluster="shop"), observer


def send(courier, *names):
    for name in names:
        courier.report(ValueError(name), {"task_id": name})


def test_every_reporter_is_given_every_error_and_the_name_of_the_cluster():
    first, second = RememberingReporter(), RememberingReporter()
    courier, observer = courier_of(first=first, second=second)
    error = ValueError("no")
    courier.report(error, {"task_id": "1"})
    courier.close(SOON)

    assert first.given == second.given == [(error, {"task_id": "1", "cluster": "shop"})]
    assert observer.events == []


def test_reports_come_in_their_order_from_a_thread_that_is_gone_when_they_are_done():
    threads = []

    class Here(RememberingReporter):
        def report(self, error, about):
            super().report(error, about)
            threads.append(threading.current_thread())

    reporter = Here()
    courier, _ = courier_of(here=reporter)
    send(courier, *"abc")
    courier.close(SOON)

    assert [about["task_id"] for _, about in reporter.given] == ["a", "b", "c"]
    assert threading.current_thread() not in threads
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()


def test_a_reporter_that_hangs_holds_nobody_up_and_what_finds_no_room_is_told_once(hanging):
    courier, observer = courier_of(slow=hanging)
    send(courier, "first")
    assert hanging.is_called.wait(SOON)
    send(courier, *[f"{number}" for number in range(WAITING_MAX + 5)])
    told = list(observer.events)
    hanging.is_released.set()
    courier.close(SOON)

    assert told == [ReportLost("", f"{WAITING_MAX} reports wait already")]
    assert len(hanging.given) == 1 + WAITING_MAX


def test_the_end_waits_for_a_while_and_says_once_what_is_lost(hanging):
    courier, observer = courier_of(slow=hanging)
    send(courier, "a")
    assert hanging.is_called.wait(SOON)
    send(courier, "b")
    courier.close(0.01)
    courier.close(SOON)

    assert observer.events == [
        ReportLost("", "at the end, 2 reports were not delivered within 0.01 s")
    ]


def test_a_reporter_that_fails_is_told_once_until_it_works_and_costs_others_nothing():
    failing, other = Failing(), RememberingReporter()
    courier, observer = courier_of(failing=failing, other=other)
    for fails in (True, True, False, True):
        courier.close(SOON)
        failing.fails = fails
        send(courier, "a")
    courier.close(SOON)

    assert observer.events == [ReportLost("failing", "SystemExit: no such project")] * 2
    assert (len(failing.given), len(other.given)) == (4, 4)


def test_a_reporter_that_cannot_be_made_is_tried_again_and_costs_others_nothing():
    other, tries = RememberingReporter(), []

    def make():
        tries.append(None)
        raise Unprintable

    observer = Remembering()
    makers = {"bad": make, "other": lambda: other}
    courier = Courier(makers=makers, observer=observer, cluster="shop")
    send(courier, *"ab")
    courier.close(SOON)

    assert [event.reporter for event in observer.events] == ["bad"]
    assert (len(tries), len(other.given)) == (2, 2)


class Complaining(Remembering):
    """A log with a filter that raises."""

    raises = RuntimeError("no room for a line")

    def notify(self, event):
        super().notify(event)
        raise self.raises


@pytest.mark.parametrize("raises", [RuntimeError("no room for a line"), SystemExit("enough")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_log_that_fails_costs_no_report_after_that(raises):
    failing, other, observer = Failing(), RememberingReporter(), Complaining()
    observer.raises = raises
    makers = {"failing": lambda: failing, "other": lambda: other}
    courier = Courier(makers=makers, observer=observer, cluster="shop")
    for name in "abc":
        send(courier, name)
        courier.close(SOON)

    # What ends the thread takes along the report that it had.
    lost = [] if isinstance(raises, Exception) else ["a"]
    assert lost + [about["task_id"] for _, about in other.given] == ["a", "b", "c"]
    assert len(observer.events) == 1


def test_who_reports_never_hears_of_a_log_that_fails(hanging):
    courier = Courier(makers={"slow": lambda: hanging}, observer=Complaining(), cluster="shop")
    send(courier, "first")
    assert hanging.is_called.wait(SOON)

    send(courier, *[f"{number}" for number in range(WAITING_MAX + 5)])
    courier.close(0.01)

    hanging.is_released.set()


def test_an_error_of_a_reporter_that_cannot_be_put_into_words_is_told_by_its_name():
    class Odd(RememberingReporter):
        def report(self, error, about):
            raise SyntaxError("odd", ("file", 1, "no number", "text"))

    courier, observer = courier_of(odd=Odd())
    send(courier, "a")
    courier.close(SOON)

    assert observer.events == [ReportLost("odd", "SyntaxError")]


def test_nothing_is_made_before_there_is_something_to_report():
    made = []
    courier = Courier(makers={"one": lambda: made.append(1)}, observer=Remembering(), cluster="c")
    courier.close(SOON)

    assert made == []


def test_another_process_has_its_own_thread_and_its_own_reporters(hanging):
    made = [hanging, RememberingReporter()]
    makers = {"each": lambda: made.pop(0)}
    courier = Courier(makers=makers, observer=Remembering(), cluster="shop")
    send(courier, "parent")
    assert hanging.is_called.wait(SOON)
    own = made[0]
    # What a fork leaves in the child: all the courier's parts, and none of its threads.
    courier._pid = -1
    courier.close(SOON)
    send(courier, "child")
    courier.close(SOON)

    assert [about["task_id"] for _, about in own.given] == ["child"]
    assert hanging.given == []


def test_a_process_that_may_start_no_thread_loses_the_report_and_nothing_else():
    class Full(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    observer = Remembering()
    courier = Courier(makers={}, observer=observer, cluster="shop", new_thread=Full)
    send(courier, *"ab")

    assert observer.events == [ReportLost("", "can't start new thread")]
