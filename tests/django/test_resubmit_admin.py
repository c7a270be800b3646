"""The admin's action that sends failed tasks once more: what it says, and what stays as it was."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User

from djq.models import Failure, OrmQ, Success, Task
from djq.tasks import async_chain, async_iter, async_task
from djq.wiring import wired
from tests.django import task_samples as samples
from tests.django.admin_parts import FAILURES, SUCCESSES, act, many, page, said, task, user_with
from tests.django.sending_parts import CountingBroker

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client):
    client.force_login(User.objects.create_superuser("ann"))
    return client


def resubmit(client, rows, **more):
    return act(client, FAILURES, "resubmit", *[row.pk for row in rows], **more)


def test_every_option_goes_with_the_task(browser, djq_queue):
    options = {
        "task_name": "mine",
        "timeout": 7,
        "max_attempts": 3,
        "save": True,
        "group": "letters",
        "hook": samples.note,
    }
    id = async_task(samples.fail, 1, key=[2], q_options=options)
    before = djq_queue.tasks[0].message
    djq_queue.run_next()
    djq_queue.clear()

    answer = resubmit(browser, Failure.objects.all())

    (after,) = [each.message for each in djq_queue.tasks]
    for name in ("id", "name", "body", "timeout", "max_attempts", "save", "group", "hook"):
        assert getattr(after, name) == getattr(before, name), name
    assert (said(answer), Task.objects.count()) == (["1 task was resubmitted."], 0)
    assert LogEntry.objects.values_list("object_id", "object_repr", "change_message").get() == (
        id,
        "mine",
        "Resubmitted to the queue.",
    )


def test_a_failure_that_is_resubmitted_becomes_a_success(browser, djq_queue):
    async_task("tests.django.test_resubmit_admin.succeed_when", "ready", task_name="task-1")
    djq_queue.run_until_idle()
    assert ">task-1</a>" in page(browser, FAILURES)

    ready.append("ready")
    resubmit(browser, Failure.objects.all())
    djq_queue.run_until_idle()
    ready.clear()

    assert (Failure.objects.count(), Success.objects.get().result) == (0, "ready")


ready = []


def succeed_when(word):
    if word not in ready:
        raise ValueError("not yet")
    return word


def test_a_second_click_sends_nothing(browser, djq_queue):
    rows = [task(number, success=False) for number in range(2)]

    first, second = resubmit(browser, rows), resubmit(browser, rows)

    assert said(first) == ["2 tasks were resubmitted."]
    assert said(second) == ["Nothing was resubmitted: what was chosen is not here any more."]
    assert len(djq_queue) == 2


def test_a_broker_that_is_away_is_a_message(browser):
    broker = CountingBroker("tests")
    broker.away_after = 0
    rows = [task(number, success=False) for number in range(12)]

    with wired(broker=lambda _config, _key: broker):
        answer = resubmit(browser, rows)

    assert said(answer) == [*[f"task-{n}: no answer" for n in range(10)], "2 more were refused."]
    assert (Failure.objects.count(), LogEntry.objects.count()) == (12, 0)


def test_a_long_reason_is_cut(browser, djq_queue):
    task(1, success=False, func="no-path" * 30, body=b"")

    (line,) = said(resubmit(browser, Failure.objects.all()))

    assert len(line) < 350


def test_what_can_be_sent_goes_and_what_cannot_says_why(browser, djq_queue):
    async_iter(samples.fail, [1, 2], task_name="an-iter")
    djq_queue.run_until_idle()
    task(1, success=False)

    answer = resubmit(browser, Failure.objects.all())

    done, refused = said(answer)
    assert done == "1 task was resubmitted."
    assert refused.startswith("an-iter: it stands for an iter of 2 elements")
    assert (len(djq_queue), Failure.objects.count()) == (1, 1)


def test_a_chain_longer_than_a_portion_is_taken_up_as_one(browser, djq_queue):
    async_chain([(samples.fail,), *[(samples.give, (n,)) for n in range(120)]])
    djq_queue.run_until_idle()
    assert Failure.objects.count() == 121

    answer = resubmit(browser, Failure.objects.all())

    assert said(answer) == ["121 tasks were resubmitted."]
    assert (len(djq_queue), Failure.objects.count()) == (1, 0)


def test_of_all_that_failed_the_newest_are_resubmitted(browser):
    many(510, success=False)

    answer = act(browser, FAILURES, "resubmit", f"{1:032x}", select_across=1)

    assert said(answer) == [
        "There are more than 500: these are the first of them.",
        "500 tasks were resubmitted.",
    ]
    assert (OrmQ.objects.count(), Failure.objects.count()) == (500, 10)
    assert not Failure.objects.filter(name="task-10").exists()


@pytest.mark.parametrize(
    ("verbs", "sent"), [(["view"], 0), (["view", "delete"], 0), (["change"], 1)]
)
def test_who_may_change_failures_may_resubmit_them(client, verbs, sent):
    user = user_with(client, *verbs)
    row = task(1, success=False)

    resubmit(user, [row])

    assert OrmQ.objects.count() == sent
    assert ("Resubmit" in page(user, FAILURES)) == bool(sent)


def test_successes_are_not_resubmitted(browser):
    row = task(1)

    assert "Resubmit" not in page(browser, SUCCESSES)
    act(browser, SUCCESSES, "resubmit", row.pk)

    assert (OrmQ.objects.count(), Success.objects.count()) == (0, 1)
