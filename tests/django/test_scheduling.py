"""`schedule()` and the model: what is made, what is refused, and that no row is overwritten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import arrow
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from djq.assembly import make_codec, make_schedule_store
from djq.conf import get_config
from djq.core.call import load_call
from djq.core.frame import unpack
from djq.core.schedules import RUN_FAILED
from djq.core.walltime import Kind
from djq.exceptions import BrokerUnavailable, ScheduleRefused, TaskRefused
from djq.models import OrmQ, Schedule, Task
from djq.schedules.rows import row_of
from djq.tasks import schedule
from djq.tasks.scheduling import pause, resume, run_now
from tests.django.frozen import freeze_time

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon():
    with freeze_time(NOON) as frozen:
        yield frozen


def kept(made):
    return Schedule.objects.get(pk=made.pk)


def test_a_schedule_is_kept_as_documented():
    made = schedule("math.copysign", 2, -2, hook="hooks.print_result", schedule_type="D")

    row = kept(made)
    assert (row.func, row.args, row.kwargs) == ("math.copysign", "2, -2", "")
    assert (row.hook, row.schedule_type, row.repeats) == ("hooks.print_result", "D", -1)
    assert (row.next_run, row.name, row.enabled) == (NOON, None, True)
    assert (made.args, made.next_run) == (row.args, row.next_run)


def test_everything_else_is_the_function_s_own_keyword():
    made = schedule("builtins.dict", func_name="x", group="g", timeout=3, q_options={"timeout": 30})

    assert kept(made).kwargs == "func_name='x', group='g', timeout=3"
    assert kept(made).q_options == "timeout=30"


def test_arrow_objects_are_welcome_wherever_a_datetime_is():
    moment = arrow.get(NOON).shift(hours=5).to("Europe/Berlin")

    made = schedule("math.floor", 1, next_run=moment)
    other = Schedule.objects.create(func="math.floor", next_run=moment)
    Schedule.objects.filter(pk=other.pk).update(next_run=moment.shift(hours=1))

    assert made.next_run == NOON + timedelta(hours=5)
    assert kept(made).next_run == NOON + timedelta(hours=5)
    assert Schedule.objects.get(next_run__gt=moment) == other


def test_without_use_tz_times_are_kept_local(settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "America/New_York"

    made = schedule("math.floor", 1, next_run=arrow.get(NOON))

    assert kept(made).next_run == datetime(2026, 11, 23, 7)  # noqa: DTZ001 - a local time
    assert row_of(kept(made)).next_run == NOON


def test_cron_is_a_type_of_its_own_and_begins_on_its_grid():
    made = schedule("math.floor", 1, cron="0 3 * * *", time_zone="Europe/Berlin")

    assert (made.schedule_type, made.cron) == ("C", "0 3 * * *")
    assert kept(made).next_run == datetime(2026, 11, 24, 2, tzinfo=UTC)


def test_row_with_a_broken_cron_can_be_kept_all_the_same():
    assert kept(Schedule.objects.create(func="f.g", schedule_type="C", cron="x")).next_run == NOON


def test_names_are_unique_where_given():
    schedule("math.floor", 1, name="nightly")
    for _ in range(2):
        schedule("math.floor", 1)
        Schedule.objects.create(func="math.floor", name="")

    with pytest.raises(ScheduleRefused, match=r"name: .*already exists"):
        schedule("math.floor", 1, name="nightly")
    with pytest.raises(IntegrityError):
        Schedule.objects.create(func="math.floor", name="nightly")


def test_several_rows_without_a_name_are_kept_on_every_database(database):
    rows = Schedule.objects.using(database)
    for name in (None, "", "", None):
        rows.create(func="math.floor", name=name)

    assert rows.filter(name__isnull=True).count() == 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"func": len}, "func is <built-in"),
        ({"func": "len"}, "func: .*no dotted path"),
        ({"hook": len}, "hook is"),
        ({"hook": "x y"}, "hook: "),
        ({"args": (NOON,)}, "argument 1 is of type 'datetime"),
        ({"x": object()}, "kwargs x="),
        ({"schedule_type": "T"}, "schedule_type: "),
        ({"schedule_type": "I", "minutes": 0}, "minutes: "),
        ({"schedule_type": "I", "minutes": 40_000}, "minutes: "),
        ({"repeats": 2**31}, "repeats: "),
        ({"next_run": NOON.replace(year=1960)}, "next_run: .*1970 to 2199"),
        ({"next_run": NOON.replace(year=2200)}, "next_run: .*1970 to 2199"),
        ({"next_run": "tomorrow"}, "next_run: "),
        ({"schedule_type": "C"}, "cron: .*needs an expression"),
        ({"cron": "0 0 31 2 *"}, "cron: .*Bad day-of-month"),
        ({"cron": "0 3 * * *", "schedule_type": "D"}, "leave one of them out"),
        ({"time_zone": "Mars"}, "time_zone: .*no time zone"),
        ({"overlap": "queue"}, "overlap: "),
        ({"intended_date_kwarg": "a b"}, "intended_date_kwarg: "),
        ({"intended_date_kwarg": "x", "x": 1}, "intended_date_kwarg: .*already"),
        ({"name": "n" * 101}, "name: "),
        ({"name": "a\0b"}, "name: "),
        ({"q_options": {"tiemout": 3}}, "q_options: .*timeout"),
        ({"q_options": {"timeout": -3}}, "q_options: .*timeout"),
        ({"q_options": 3}, "q_options is 3"),
        ({"q_options": {"broker": object()}}, "broker"),
        ({"args": ("x" * 100_000,)}, "100,002 characters"),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence_for_its_field(arguments, reason):
    arguments = dict(arguments)
    func, args = arguments.pop("func", "math.floor"), arguments.pop("args", ())

    with pytest.raises(ScheduleRefused, match=reason):
        schedule(func, *args, **arguments)

    assert not Schedule.objects.exists()


def test_every_wrong_field_has_its_sentence():
    made = Schedule(func="x", args="(", kwargs="1", time_zone="Mars", schedule_type="C")

    with pytest.raises(ValidationError) as refused:
        made.full_clean()

    assert set(refused.value.message_dict) == {"func", "args", "kwargs", "time_zone", "cron"}


SHARED_CACHE = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"}


def test_every_option_of_a_task_is_taken(settings, tmp_path):
    settings.CACHES = {"default": SHARED_CACHE | {"LOCATION": str(tmp_path)}}
    options = {
        "hook": "a.b",
        "group": "g",
        "save": False,
        "timeout": 3.5,
        "sync": True,
        "broker": "reports",
        "task_name": "t",
        "on_commit": True,
        "max_attempts": 2,
        "cached": 60,
    }

    made = schedule("math.floor", 1, q_options=options)

    message = sent_now(made, "reports")
    assert (message.hook, message.group, message.save) == ("a.b", "g", False)
    assert (message.timeout, message.name, message.max_attempts) == (3.5, "t", 2)
    assert message.cached == 60


CACHED = [({"cached": 60}, False), ({"cached": True}, False), (None, 60)]


@pytest.mark.parametrize(("q_options", "setting"), CACHED)
def test_a_cache_that_workers_do_not_share_is_refused_with_a_sentence(q_options, setting, settings):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"cached": setting}
    words = "q_options: the result cannot be cached: .*LocMemCache, which processes do not share"
    written = "" if q_options is None else "cached=60"
    row = Schedule.objects.create(func="math.floor", args="1", q_options=written)

    with pytest.raises(ScheduleRefused, match=words):
        schedule("math.floor", 1, q_options=q_options)
    with pytest.raises(ValidationError) as refused:
        row.full_clean()
    with pytest.raises(TaskRefused, match="cannot be cached"):
        run_now(row)

    assert set(refused.value.message_dict) == {"q_options"}
    assert (Schedule.objects.count(), OrmQ.objects.count()) == (1, 0)


def test_what_is_not_cached_or_runs_here_needs_no_shared_cache(settings):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"cached": True}
    schedule("math.floor", 1, q_options={"cached": False})
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"sync": True}
    schedule("math.floor", 1, q_options={"cached": 60})

    assert Schedule.objects.count() == 2


def sent_now(made, key="tests"):
    run_now(made)
    return unpack(make_codec(get_config(), key).open(OrmQ.objects.get(key=key).payload))


def test_running_now_changes_no_slot():
    made = schedule("math.floor", 1.5, schedule_type="D", repeats=3, intended_date_kwarg="when")
    before = kept(made).next_run

    message = sent_now(made)

    row = kept(made)
    assert (row.next_run, row.repeats, row.task) == (before, 3, message.id)
    assert load_call(message.body)[2] == {"when": NOON.isoformat()}


def test_running_now_without_use_tz(settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "America/New_York"
    made = schedule("math.floor", 1.5, overlap="skip")

    message = sent_now(made)

    row = row_of(kept(made))
    assert (row.task, row.unfinished, row.sent_at) == (message.id, message.id, NOON)


def test_a_run_that_the_broker_does_not_take_is_forgotten(settings, away):
    made = schedule("math.floor", 1.5, overlap="skip")
    settings.Q_CLUSTER = {"name": "tests", "orm": away}

    with pytest.raises(BrokerUnavailable):
        run_now(made)

    assert (kept(made).task, kept(made).sent_at, kept(made).unfinished) == (None, None, "")


def test_a_pause_misses_nothing(noon):
    made = schedule("math.floor", 1, schedule_type="H")
    pause(made)
    assert made.upcoming() == []

    noon.move_to(NOON + timedelta(hours=5, minutes=10))
    resume(made)

    assert (kept(made).enabled, kept(made).next_run) == (True, NOON + timedelta(hours=6))


def test_a_schedule_that_is_not_paused_is_not_set_back_by_being_resumed(noon):
    made = schedule("math.floor", 1, schedule_type="H")
    Schedule.objects.filter(pk=made.pk).update(next_run=NOON + timedelta(hours=3), task="x")
    made.enabled = False

    resume(made)

    assert (kept(made).next_run, made.next_run) == (NOON + timedelta(hours=3),) * 2
    assert made.enabled is True


def test_a_schedule_that_is_resumed_before_a_gap_keeps_its_wall_time(noon):
    start = datetime(2027, 3, 20, 1, 30, tzinfo=UTC)
    made = schedule("a.b", schedule_type="D", next_run=start, time_zone="Europe/Berlin")
    pause(made)

    noon.move_to(datetime(2027, 3, 27, 12, tzinfo=UTC))
    resume(made)

    runs = [run.at.strftime("%d %H:%M") for run in kept(made).upcoming(3)]
    assert runs == ["28 03:00", "29 02:30", "30 02:30"]


@pytest.mark.parametrize("end", [datetime.min, datetime.max])  # noqa: DTZ901 - as a row has it
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_a_row_at_an_end_of_time_stops_no_other(settings, end, zone):
    settings.USE_TZ = False
    settings.TIME_ZONE = zone
    Schedule.objects.create(func="a.b", next_run=end)
    other = Schedule.objects.create(func="a.b", next_run=datetime(2020, 1, 1))  # noqa: DTZ001
    store = make_schedule_store()

    assert store.next_due() is not None
    assert other.pk in {row.id for row in store.take(NOON, 10)}


def test_a_row_that_is_being_sent_comes_due_even_if_an_old_object_was_saved_meanwhile():
    made = schedule("math.floor", 1, schedule_type="H")
    rows = Schedule.objects.filter(pk=made.pk)
    rows.update(pending="token", sent_at=NOON, held_until=None)

    assert rows.get().due_at == NOON


def test_upcoming_runs_show_gaps_and_overlaps():
    start = datetime(2027, 3, 27, 1, 30, tzinfo=UTC)
    made = schedule(
        "math.floor", 1, schedule_type="D", next_run=start, time_zone="Europe/Berlin", repeats=9
    )

    runs = made.upcoming(3)

    assert [run.kind for run in runs] == [Kind.PLAIN, Kind.GAP, Kind.PLAIN]
    assert [run.at.strftime("%d %H:%M") for run in runs] == ["27 02:30", "28 03:00", "29 02:30"]
    assert "02:30 does not exist" in str(runs[1])
    assert str(runs[0]) == "Sat 2027-03-27 02:30:00 +0100"
    autumn = schedule("math.floor", 1, cron="30 2 31 10 *", time_zone="Europe/Berlin")
    assert "comes twice" in str(autumn.upcoming(1)[0])


def test_upcoming_runs_end_with_the_repeats_and_begin_with_what_was_missed():
    missed = NOON - timedelta(hours=2.5)
    made = schedule("math.floor", 1, schedule_type="H", next_run=missed, repeats=4)
    one = schedule("math.floor", 1, schedule_type="H", next_run=missed, catch_up=False)

    assert [run.at.hour for run in made.upcoming(9)] == [9, 10, 11, 12]
    assert [run.at.hour for run in one.upcoming(3)] == [9, 12, 13]


def test_an_object_read_a_while_ago_does_not_write_the_scheduler_s_fields_back():
    stale = schedule("math.floor", 1, schedule_type="H")
    Schedule.objects.update(task="b" * 32, pending="t x y", held_until=NOON, anchor="a")

    stale.args = "2"
    stale.save()

    row = kept(stale)
    assert (row.args, row.task, row.pending, row.anchor) == ("2", "b" * 32, "t x y", "a")
    assert row.held_until == NOON


def test_a_row_that_is_changed_is_looked_at_again():
    bad = schedule("math.floor", 1)
    Schedule.objects.update(args="x", last_error="args cannot be read", held_until=NOON)

    row = kept(bad)
    row.args = "1"
    row.save(update_fields=["args"])

    assert (kept(bad).last_error, kept(bad).held_until, kept(bad).args) == ("", None, "1")


def test_saving_a_row_leaves_the_error_of_its_last_run():
    made = schedule("math.floor", 1)
    Schedule.objects.update(last_error=RUN_FAILED + "x")

    kept(made).save()

    assert kept(made).last_error == RUN_FAILED + "x"


def test_last_run_and_success_follow_the_last_task():
    made = schedule("math.floor", 1)
    assert (made.last_run(), made.success()) == (None, None)
    Schedule.objects.update(task="a" * 32)
    assert (kept(made).last_run(), kept(made).success()) == (None, None)

    Task.objects.create(id="a" * 32, name="one<two", func="f.g", started=NOON, stopped=NOON)

    assert kept(made).success() is True
    assert "one" in kept(made).last_run()


def test_each_database_keeps_when_a_row_is_due(database):
    rows = Schedule.objects.using(database)
    due = rows.create(func="f.g", next_run=NOON)
    used_up = rows.create(func="f.g", next_run=NOON, repeats=0)
    paused = rows.create(func="f.g", next_run=NOON, enabled=False)

    assert list(rows.filter(due_at__lte=NOON)) == [due]
    rows.filter(pk__in=[used_up.pk, paused.pk]).update(repeats=1, enabled=True)
    assert rows.filter(due_at__lte=NOON).count() == 3
