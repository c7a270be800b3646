"""Failed tasks are sent once more as they were: with each option, and chains from where they stopped."""

from __future__ import annotations

from types import SimpleNamespace

import attrs
import pytest
from django.core.cache import cache

from djq.core.call import load_text
from djq.core.frame import options_of, with_options
from djq.exceptions import BadPackage, BrokerUnavailable
from djq.models import Failure, OrmQ, Schedule, Success, Task
from djq.tasks import (
    async_chain,
    async_iter,
    async_task,
    count_group,
    fetch,
    fetch_group,
    result,
    result_group,
)
from djq.tasks.resubmitting import resubmit
from djq.tasks.scheduling import run_now
from djq.wiring import wired
from tests.django import task_samples as samples
from tests.django.sending_parts import CountingBroker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]

ONCE = "tests.django.test_resubmitting.succeed_at_second_try"


def succeed_at_second_try(value):
    """Fails as long as nobody has tried it before."""
    if cache.add(f"tried-{value}", 1):
        raise ValueError("the first try")
    return value


def reasons(done):
    return [reason for _, reason in done.refused]


def test_every_option_of_a_task_is_kept(djq_queue):
    id = async_task(
        samples.fail,
        1,
        key=[2],
        q_options={
            "task_name": "mine",
            "group": "letters",
            "hook": samples.note,
            "timeout": 7,
            "save": False,
            "max_attempts": 3,
        },
    )
    before = djq_queue.tasks[0].message
    djq_queue.run_next()
    djq_queue.clear()

    done = resubmit(Failure.objects.all())

    (again,) = [task.message for task in djq_queue.tasks]
    assert attrs.evolve(again, enqueued_at=before.enqueued_at) == before
    assert (again.id, again.enqueued_at > before.enqueued_at) == (id, True)
    assert ([task.id for task in done.sent], done.refused) == ([id], [])
    assert not Task.objects.exists()


def test_who_waits_for_a_task_finds_its_second_outcome(djq_queue):
    id = async_task(ONCE, 5, group="fives", hook=samples.note)
    djq_queue.run_until_idle()
    assert not fetch(id).success

    resubmit(Failure.objects.filter(id=id))
    djq_queue.run_until_idle()

    assert (result(id), result_group("fives"), Failure.objects.count()) == (5, [5], 0)


def test_a_cached_outcome_that_was_saved_goes_to_the_cache_again(djq_queue):
    id = async_task(samples.fail, cached=60)
    djq_queue.run_next()
    fetch(id, cached=True).save()

    resubmit(Failure.objects.all())

    assert djq_queue.tasks[0].message.cached == 60


def test_a_task_goes_to_the_queue_that_it_came_from(djq_queue):
    async_task(samples.fail)
    djq_queue.run_next()
    Failure.objects.update(queue="other")

    resubmit(Failure.objects.all())

    assert [task.queue for task in djq_queue.tasks] == ["other"]


def test_the_row_says_which_queue_a_task_came_from(djq_cluster):
    id = async_task(samples.fail)
    djq_cluster.run_until_idle()

    assert fetch(id).queue == "tests"


def test_the_last_run_of_a_schedule_is_run_again(djq_queue):
    made = Schedule.objects.create(func=ONCE, args="9", overlap=Schedule.SKIP)
    id = run_now(made)
    djq_queue.run_until_idle()
    made.refresh_from_db()
    assert (made.success(), made.unfinished) == (False, "")

    resubmit(Failure.objects.all())
    assert djq_queue.tasks[0].message.schedule == made.pk
    djq_queue.run_until_idle()

    made.refresh_from_db()
    assert (made.success(), made.task) == (True, id)


# Chains and iters.


@pytest.mark.parametrize("chosen", ["the one that failed", "all of them"])
def test_a_chain_goes_on_from_the_link_that_failed(djq_queue, chosen):
    label = async_chain(
        [(samples.give, (1,)), (ONCE,), (samples.grow, ()), (samples.grow, (), {"step": 10})],
        pass_result=True,
    )
    djq_queue.run_until_idle()
    assert [task.success for task in fetch_group(label)] == [True, False, False, False]

    failures = Failure.objects.order_by("place")
    done = resubmit(failures if chosen == "all of them" else failures[:1])
    assert (len(done.sent), done.refused, len(djq_queue)) == (3, [], 1)
    djq_queue.run_until_idle()

    assert result_group(label) == [1, 1, 2, 12]
    assert count_group(label, failures=True) == 0


def test_a_chain_that_fails_again_stops_again(djq_queue):
    label = async_chain([(samples.fail,), (samples.give, (2,)), (samples.give, (3,))])
    djq_queue.run_until_idle()

    for _ in range(2):
        resubmit(Failure.objects.all())
        djq_queue.run_until_idle()

    assert [task.attempts for task in fetch_group(label)] == [1, 0, 0]
    assert len([one for one in djq_queue.ran if not one.success]) == 3


def test_links_that_were_deleted_are_left_out(djq_queue):
    label = async_chain([(ONCE, (1,)), (samples.give, (2,)), (samples.give, (3,))])
    djq_queue.run_until_idle()
    Failure.objects.filter(place=1).delete()

    done = resubmit(Failure.objects.filter(place=0))
    djq_queue.run_until_idle()

    assert ([task.place for task in done.sent], result_group(label)) == ([0], [1])
    assert Failure.objects.get().place == 2


def test_a_link_that_waits_for_another_is_refused(djq_queue):
    async_chain([(samples.fail,), (samples.give, (2,))])
    djq_queue.run_until_idle()

    done = resubmit(Failure.objects.filter(place=1))

    assert (len(djq_queue), Failure.objects.count()) == (0, 2)
    assert "a link before it in its chain has failed" in reasons(done)[0]


def test_a_link_whose_chain_went_on_is_sent_by_itself(djq_queue):
    label = async_chain([(ONCE, (1,)), (samples.give, (2,))], on_failure="continue")
    djq_queue.run_until_idle()
    runs = len(djq_queue.ran)

    resubmit(Failure.objects.all())
    djq_queue.run_until_idle()

    assert (sorted(result_group(label)), len(djq_queue.ran) - runs) == ([1, 2], 1)


def test_an_iter_is_refused(djq_queue):
    async_iter(samples.fail, [1, 2])
    djq_queue.run_until_idle()

    done = resubmit(Failure.objects.all())

    assert (len(djq_queue), Failure.objects.count()) == (0, 1)
    assert "an iter of 2 elements" in reasons(done)[0]


# What goes wrong.


def failed(number, **fields):
    fields = {"name": "x", "func": "math.floor", "success": False, **fields}
    moment = Schedule(func="x").next_run
    made = Task(id=f"{number:032x}", started=moment, stopped=moment, **fields)
    made.result = fields.pop("line", "ValueError: x")
    made.save()
    return made


def test_what_is_refused_keeps_none_of_the_others_back(djq_queue):
    failed(1, options="{")
    failed(2, func="<function x at 0x7f>")
    lost = failed(3)
    lost.result = "StoreRefused: the outcome could not be saved: too large"
    lost.save()
    failed(4)

    done = resubmit(Task.objects.all())

    assert [task.id for task in done.sent] == [f"{4:032x}"]
    assert [task.id for task, _ in done.refused] == [f"{number:032x}" for number in (1, 2, 3)]
    no_json, no_path, no_call = reasons(done)
    assert "no JSON" in no_json
    assert "no dotted path" in no_path
    assert "never kept" in no_call
    assert Failure.objects.count() == 3


def test_what_is_too_large_is_refused(djq_queue, settings):
    async_task(samples.fail, "x" * 5_000)
    djq_queue.run_next()
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "max_payload": 1_024}

    done = resubmit(Failure.objects.all())

    assert (Failure.objects.count(), done.sent) == (1, [])
    assert "`max_payload`" in reasons(done)[0]


def test_failures_stay_when_the_broker_is_away(database_of_a_broker_that_is_away):
    failed(1)

    done = resubmit(Failure.objects.all())

    assert (Failure.objects.count(), done.sent, reasons(done)) == (1, [], ["no answer"])


@pytest.fixture
def database_of_a_broker_that_is_away():
    broker = CountingBroker("tests")
    broker.away_after = 0
    with wired(broker=lambda _config, _key: broker):
        yield broker


class HalfAway(CountingBroker):
    """Takes the second of three, as one that is asked in portions may."""

    def enqueue_many(self, packages):
        raise BrokerUnavailable("no answer", sent=[1])


def test_of_failures_that_were_sent_in_part_only_the_others_stay(database, settings):
    settings.DATABASE_ROUTERS = [SimpleNamespace(db_for_write=lambda *_, **__: database)]
    made = [failed(number) for number in (1, 2, 3)]
    rows = Failure.objects.using(database)
    with wired(broker=lambda _config, _key: HalfAway("tests")):
        done = resubmit(rows.all())
    names = [task.id for task in sorted(made, key=lambda task: (task.place, task.id))]

    assert [task.id for task in done.sent] == [names[1]]
    assert [(task.id, reason) for task, reason in done.refused] == [
        (names[0], "no answer"),
        (names[2], "no answer"),
    ]
    assert set(rows.values_list("id", flat=True)) == {names[0], names[2]}


def test_what_somebody_else_has_sent_meanwhile_is_not_sent_twice(djq_queue):
    failed(1)
    seen = list(Failure.objects.all())
    resubmit(Failure.objects.all())

    done = resubmit(seen)

    assert (len(djq_queue), done.sent) == (1, [])
    assert "resubmitted or deleted meanwhile" in reasons(done)[0]


def test_a_success_is_never_sent(djq_queue):
    made = failed(1)
    Task.objects.update(success=True)

    assert resubmit([made]).sent == []
    assert (len(djq_queue), Success.objects.count()) == (0, 1)


def test_with_the_orm_broker_the_row_and_the_package_change_places():
    failed(1)

    resubmit(Failure.objects.all())

    assert (Failure.objects.count(), OrmQ.objects.count()) == (0, 1)


# The options in a row.


def test_options_are_read_back_as_they_were(djq_queue):
    async_chain([(samples.give, (1,), {"timeout": 2, "save": True})] * 2, pass_result=True)
    message = djq_queue.tasks[0].message

    plain = attrs.evolve(
        message, rest=b"", timeout=None, save=None, chain=None, total=None, hands_on=False
    )

    assert with_options(plain, options_of(message)) == attrs.evolve(message, rest=b"")
    assert options_of(plain) == ""


@pytest.mark.parametrize("text", ["{", "[]", '{"timeout": -1}', '{"of": "x"}'])
def test_options_that_nobody_wrote_are_refused(djq_queue, text):
    async_task(samples.give, 1)

    with pytest.raises(BadPackage):
        with_options(djq_queue.tasks[0].message, text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x80\x05\x8c\x02hi\x94.", "hi"),
        (b"\x80\x05K\x01.", None),
        (b"\x80\x05\x8c\x02h", None),
        (b"", None),
        (b"cos\nsystem\n(S'true'\ntR.", None),
    ],
)
def test_a_text_is_read_without_running_anything(data, text):
    assert load_text(data) == text
