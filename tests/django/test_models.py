"""The rows: documented fields, lazy pickles, and a migration that says what the models say."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connections

from djq.core.call import CallUnreadable
from djq.models import Failure, OrmQ, Schedule, Success, Task

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make_task(**fields):
    defaults = {
        "id": "a" * 32,
        "name": "red-green-blue-grey",
        "func": "math.hypot",
        "started": NOON,
        "stopped": NOON + timedelta(seconds=1.5),
    }
    return Task(**{**defaults, **fields})


def columns(alias, table):
    connection = connections[alias]
    with connection.cursor() as cursor:
        return connection.introspection.get_constraints(cursor, table)


@pytest.mark.django_db
def test_migrations_say_what_the_models_say():
    call_command("makemigrations", "djq", check=True, dry_run=True, verbosity=0)


def test_arguments_and_result_are_pickled_in_bytes():
    task = make_task(args=(3, 4), kwargs={"x": [1]}, result={"y": None})

    assert pickle.loads(task.body) == ("math.hypot", (3, 4), {"x": [1]})
    assert (task.args, task.kwargs, task.result) == ((3, 4), {"x": [1]}, {"y": None})


def test_task_without_a_call_has_no_arguments_and_no_result():
    task = make_task()

    assert (task.args, task.kwargs, task.result) == ((), {}, None)


def test_setting_arguments_keeps_the_function_as_it_was_given():
    task = make_task(body=pickle.dumps((len, ([],), {})))

    task.args = ([1],)

    assert pickle.loads(task.body) == (len, ([1],), {})


def test_row_whose_class_is_gone_still_lists():
    task = make_task(body=b"cnowhere\nGone\n.", value=b"cnowhere\nGone\n.")

    assert str(task) == "red-green-blue-grey"
    with pytest.raises(CallUnreadable):
        assert task.args
    with pytest.raises(ModuleNotFoundError):
        assert task.result


def test_time_taken_is_seconds_from_call_to_outcome():
    assert make_task().time_taken() == 1.5


def test_task_survives_its_database(database):
    make_task(args=("é\x00", b"\xff"), result=[1.5], group="g", traceback="…").save(using=database)

    found = Task.objects.using(database).get()

    assert (found.args, found.result, found.group) == (("é\x00", b"\xff"), [1.5], "g")
    assert (found.started, found.time_taken()) == (NOON, 1.5)


def test_proxies_part_successes_from_failures(database):
    make_task(id="a" * 32).save(using=database)
    make_task(id="b" * 32, success=False).save(using=database)

    assert [task.id for task in Success.objects.using(database)] == ["a" * 32]
    assert [task.id for task in Failure.objects.using(database)] == ["b" * 32]


def test_newest_outcome_comes_first_and_the_id_parts_ties(database):
    make_task(id="b" * 32).save(using=database)
    make_task(id="a" * 32).save(using=database)
    make_task(id="c" * 32, stopped=NOON).save(using=database)

    assert [task.id[0] for task in Task.objects.using(database)] == ["b", "a", "c"]


def test_names_and_keys_differ_by_case(database):
    make_task(name="One", group="A").save(using=database)
    OrmQ.objects.using(database).create(key="One", payload="x", available_at=NOON)

    assert not Task.objects.using(database).filter(name="one").exists()
    assert not Task.objects.using(database).filter(group="a").exists()
    assert not OrmQ.objects.using(database).filter(key="one").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("rows", [False, True])
def test_a_task_can_still_say_which_group_was_deleted(rows):
    task = make_task(group="math")
    task.save()

    assert task.group_delete(rows) == 1

    assert task.group == "math"
    assert not Task.objects.filter(group="math").exists()
    assert Task.objects.count() == (0 if rows else 1)


def test_tables_have_only_the_indexes_that_queries_use(database):
    def indexes(table):
        found = columns(database, table).values()
        return sorted(
            tuple(each["columns"])
            for each in found
            if (each["index"] or each["unique"]) and not each["primary_key"]
        )

    assert indexes("djq_ormq") == [("key", "available_at", "id")]
    assert [each for each in indexes("djq_task") if each != ("id",)] == [
        ("group", "success", "stopped", "id"),
        ("name",),
        ("success", "stopped", "id"),
    ]


@pytest.mark.skipif("postgres" not in connections, reason="PostgreSQL alone adds such indexes")
@pytest.mark.django_db(databases=["postgres"])
def test_postgres_keeps_one_index_for_the_key_of_tasks():
    found = columns("postgres", "djq_task")

    assert len([name for name, each in found.items() if each["columns"] == ["id"]]) == 1


def test_schedule_counts_repeats_beyond_sixteen_bits(database):
    schedule = Schedule.objects.using(database).create(func="math.hypot", repeats=-100_000)

    schedule.refresh_from_db()

    assert (schedule.repeats, schedule.schedule_type) == (-100_000, Schedule.ONCE)


def test_schedule_has_the_documented_types():
    assert [key for key, _label in Schedule.TYPE] == [
        *("O", "I", "H", "D", "W", "BW", "M", "BM", "Q", "Y", "C")
    ]


@pytest.mark.parametrize(
    ("model", "one", "many"),
    [
        (Success, "Successful task", "Successful tasks"),
        (Failure, "Failed task", "Failed tasks"),
        (Schedule, "Scheduled task", "Scheduled tasks"),
        (OrmQ, "Queued task", "Queued tasks"),
    ],
)
def test_models_are_named_as_documented(model, one, many):
    assert (model._meta.verbose_name, model._meta.verbose_name_plural) == (one, many)
