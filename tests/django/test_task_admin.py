"""The admin of tasks that have ended: what is listed, found and shown."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Value
from django.test.utils import CaptureQueriesContext

from djq.admin.tasks import SuccessAdmin
from djq.admin.values import shown as shown_value
from djq.models import Failure, Success, Task
from tests.django import task_samples as samples
from tests.django.admin_parts import (
    FAILURES,
    NOON,
    SUCCESSES,
    act,
    many,
    page,
    said,
    shown,
    task,
    user_with,
)

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"


class Hostile:
    """Whoever asks what it is gets markup."""

    def __repr__(self):
        return HOSTILE


class Broken:
    """Cannot say what it is."""

    def __repr__(self):
        raise ValueError(HOSTILE)


class Leaves:
    """Ends the process when it is unpickled."""

    def __reduce__(self):
        return samples.leave, ()


class Missing:
    """Is not there any more when it is unpickled."""

    def __reduce__(self):
        return find_nothing, ()


class BreaksTheTransaction:
    def __reduce__(self):
        return samples.violate, ("default",)


def find_nothing():
    raise ImportError("No module named 'gone'")


@pytest.fixture
def browser(client):
    client.force_login(User.objects.create_superuser("ann"))
    return client


def page_of(row):
    return f"{SUCCESSES if row.success else FAILURES}{row.id}/change/"


def queries_of(client, url, **asked):
    with CaptureQueriesContext(connection) as captured:
        page(client, url, **asked)
    return [each["sql"] for each in captured]


# The lists.


def test_successes_have_the_columns_of_the_manual(browser):
    task(1, group="letters")

    text = page(browser, SUCCESSES)

    for column in ("Name", "Function", "Started", "Stopped", "Time taken", "Group"):
        assert f">{column}<" in text
    for value in ("task-1", "math.floor", "Nov. 23, 2026, noon", "2.0", "letters"):
        assert f">{value}<" in text
    assert "By group" in text


def test_each_list_has_its_own_tasks_the_newest_first(browser):
    for number in range(6):
        task(number, success=number % 2 == 0)

    assert shown(browser, SUCCESSES) == ["task-4", "task-2", "task-0"]
    assert shown(browser, FAILURES) == ["task-5", "task-3", "task-1"]


def test_failures_say_why_in_one_short_line(browser):
    task(1, success=False, result="ValueError: first\nsecond")
    task(2, success=False, result=f"KeyError: {'k' * 300}")

    text = page(browser, FAILURES)

    assert ">ValueError: first…<" in text
    assert f">KeyError: {'k' * 90}…<" in text


def test_a_list_opens_no_payload(browser):
    task(1, success=False, args=(samples.CountsTasks(),), result=samples.CountsTasks())
    task(2, success=False, body=b"no pickle", value=b"no pickle")
    task(3, args=(samples.CountsTasks(),), result=samples.CountsTasks())

    for url in (SUCCESSES, FAILURES):
        asked = queries_of(browser, url)
        assert not [sql for sql in asked if "COUNT(" in sql and "LIMIT" not in sql]
        assert not [sql for sql in asked if '"body"' in sql or '"traceback"' in sql]
    assert page(browser, FAILURES).count(">see its page<") == 2


@pytest.mark.parametrize("url", [SUCCESSES, FAILURES])
def test_a_list_costs_the_same_for_one_row_and_for_many(browser, url):
    def costs():
        asked = ({}, {"q": "math"}, {"group": "g"})
        return [len(queries_of(browser, url, **each)) for each in asked]

    task(1, success=url == SUCCESSES, group="g")
    few = costs()
    for number in range(2, 40):
        task(number, success=url == SUCCESSES, group="g")

    assert costs() == few
    assert max(few) < 15


@pytest.mark.parametrize("rows", [Success.objects, Failure.objects])
def test_the_index_of_outcomes_serves_a_list(rows):
    plan = rows.order_by("-stopped", "-id").explain()

    assert "USING INDEX djq_task_outcome (success=?)" in plan
    assert "TEMP B-TREE" not in plan


def test_more_rows_than_are_counted_are_said_to_be_more(browser):
    many(10_001)

    assert "≥10000 Successful tasks" in page(browser, SUCCESSES)
    assert shown(browser, SUCCESSES, p=100)[-1] == "task-1"
    assert browser.get(SUCCESSES, {"p": 101}).status_code == 302

    Task.objects.filter(name="task-7").delete()
    assert "10000 Successful tasks" in page(browser, SUCCESSES)
    assert "≥" not in page(browser, SUCCESSES)


def test_rows_before_a_page_are_not_read(browser):
    many(1_000)

    (asked,) = [sql for sql in queries_of(browser, SUCCESSES, p=9) if "OFFSET 800" in sql]

    assert asked.startswith('SELECT "djq_task"."id" AS "pk" FROM')


def test_a_number_that_may_be_more_has_its_thousands_parted(browser, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    many(10_001)

    assert "≥10,000 Successful tasks" in page(browser, SUCCESSES)


def test_a_list_is_sorted_by_nothing_but_the_end(browser):
    for number, func in enumerate(["a.z", "b.y", "c.x"]):
        task(number, func=func)
    newest_first = ["task-2", "task-1", "task-0"]

    def column(name):
        return str(SuccessAdmin.list_display.index(name) + 1)

    assert shown(browser, SUCCESSES, o=column("stopped")) == newest_first[::-1]
    assert shown(browser, SUCCESSES, o=column("func")) == newest_first
    assert shown(browser, SUCCESSES, o="99.x.-.0") == newest_first


@pytest.mark.parametrize("lookup", ["func__icontains", "body__contains", "line", "value_bytes__gt"])
def test_an_address_asks_for_nothing_but_what_filters_offer(browser, lookup):
    assert browser.get(FAILURES, {lookup: "1"}).status_code == 400


# Filters and searches.


def test_the_filter_offers_the_groups_of_the_newest_tasks(browser):
    for number in range(25):
        task(number, group=f"group-{number}")
    task(30, success=False, group="of a failure")

    text = page(browser, SUCCESSES)

    assert [f"?group=group-{number}" in text for number in (24, 5, 4)] == [True, True, False]
    assert "of a failure" not in text


def test_a_group_that_is_not_offered_is_found_all_the_same(browser):
    for number in range(25):
        task(number, group=f"group-{number}")

    text = page(browser, SUCCESSES, group="group-0")

    assert (">task-0<" in text, ">task-1<" in text) == (True, False)
    assert "?group=group-0" in text


@pytest.mark.parametrize("label", ["nobody's", "\0", "x" * 500])
def test_a_group_that_nobody_has_is_an_empty_list(browser, label):
    task(1)

    assert shown(browser, SUCCESSES, group=label) == []


def test_a_list_is_filtered_by_the_time_of_the_end(browser):
    for number in (0, 60, 120):
        task(number)

    asked = {
        "stopped__gte": "2026-11-23 12:01:00+00:00",
        "stopped__lt": "2026-11-23 12:02:00+00:00",
    }
    assert shown(browser, SUCCESSES, **asked) == ["task-60"]


@pytest.mark.parametrize(
    ("term", "found"),
    [
        (f"{1:032x}", ["task-1"]),
        ("00000000-0000-0000-0000-000000000002", ["task-2"]),
        ("task-3", ["task-3"]),
        ("MONTHLY", ["task-2"]),
        ("monthly reports", ["task-2"]),
        ("reports.make", ["task-3", "task-2"]),
        ("task floor", ["task-1"]),
        ("task%", []),
        ("nothing of it", []),
        ("  ", ["task-3", "task-2", "task-1"]),
    ],
)
def test_search_finds_names_functions_groups_and_ids(browser, term, found):
    task(1)
    task(2, func="shop.reports.make", group="monthly reports")
    task(3, func="shop.reports.make")
    task(4, success=False)

    assert shown(browser, SUCCESSES, q=term) == found


def test_words_are_looked_for_among_the_newest_and_whole_names_among_all(browser):
    many(10_010)
    for number in (3, 12):
        Task.objects.filter(name=f"task-{number}").update(name=f"task-99999{number}")

    assert shown(browser, SUCCESSES, q="task-99999") == ["task-9999912"]
    assert shown(browser, SUCCESSES, q="task-999993") == ["task-999993"]


def test_a_search_that_finds_very_many_says_so(browser):
    many(300)

    answer = browser.get(SUCCESSES, {"q": "math"})

    assert said(answer) == ["More than 200 were found: these are the newest of them."]
    assert "200 Successful tasks" in answer.content.decode()


# The page of a task.


def test_a_task_is_shown_with_all_that_it_was_asked_for_with(browser):
    row = task(
        7,
        args=(1, "two"),
        kwargs={"three": [3.0]},
        result={"four": 4},
        group="letters",
        hook="app.hooks.done",
        queue="mail",
        options='{"timeout":30}',
        attempts=3,
    )

    text = page(browser, page_of(row))

    for value in ("(1, 'two')", "{'three': [3.0]}", "{'four': 4}"):
        assert f'<pre class="djq-value">{value}</pre>' in text
    for value in ("letters", "app.hooks.done", "mail", '{"timeout":30}', "3", "2.0", row.id):
        assert f'<div class="readonly">{value}</div>' in text


def test_a_traceback_keeps_its_lines(browser):
    trace = f'Traceback:\n  File "x.py", line 1, in f\n    raise {HOSTILE}\n'
    row = task(1, success=False, traceback=trace, result="ValueError: a\nb")

    raw = browser.get(page_of(row)).content.decode()

    assert '<pre class="djq-traceback">Traceback:\n  File &quot;x.py&quot;, line 1, in f\n' in raw
    assert '<pre class="djq-value">ValueError: a\nb</pre>' in raw
    assert HOSTILE not in raw


def test_nothing_that_a_task_has_is_markup(browser):
    fields = dict.fromkeys(("name", "func", "group", "hook", "queue"), f"a{HOSTILE}"[:25])
    row = task(1, args=(Hostile(), HOSTILE), result=Hostile(), **fields)
    bad = task(2, success=False, args=(Broken(),), result=f"ValueError: {HOSTILE}", **fields)

    for url in (SUCCESSES, FAILURES, page_of(row), page_of(bad)):
        raw = browser.get(url).content.decode()
        assert "<script>alert" not in raw
        assert "&lt;script&gt;alert" in raw


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Missing(), "ImportError: No module named 'gone'"),
        (Leaves(), "SystemExit: 3"),
        (BreaksTheTransaction(), "IntegrityError"),
        ("x" * 1_100_000, "too large to be shown here"),
    ],
)
def test_what_cannot_be_shown_is_a_mark(browser, value, why):
    row = task(1, args=(value,), result=value)

    text = page(browser, page_of(row))

    assert text.count('<strong class="djq-unreadable">⚠ ') == 3  # the kwargs are in the same pickle
    assert text.count(why) >= 2


@pytest.mark.parametrize("wanted", ["MONTHLY", Value("MONTHLY")])
def test_a_part_of_a_name_is_found_however_it_is_written(database, wanted):
    rows = Task.objects.using(database)
    rows.create(id="1", name="monthly-report", func="math.floor", started=NOON, stopped=NOON)

    assert [row.name for row in rows.filter(name__icontains=wanted)] == ["monthly-report"]
    assert not rows.filter(name="MONTHLY-REPORT").exists()


def test_a_value_that_breaks_the_transaction_leaves_the_page_alone(database):
    found = shown_value(lambda: samples.violate(database), 1)

    assert "IntegrityError" in found
    assert not Task.objects.using(database).exists()


@pytest.mark.parametrize("data", [b"", b"no pickle", b"\x80\x05", b"cposix\nnothing\n."])
def test_bytes_that_are_no_pickle_are_a_mark(browser, data):
    row = task(1, body=data, value=data)

    text = page(browser, page_of(row))

    assert text.count("djq-unreadable") == (3 if data else 1)


def test_a_value_that_cannot_say_what_it_is_is_told_by_its_class(browser):
    row = task(1, result=[1, Broken()])

    assert "[1, <Broken instance at 0x" in page(browser, page_of(row))


def test_a_long_value_is_cut(browser):
    row = task(1, args=("x" * 500_000,), result=[["y"] * 900] * 900)

    text = page(browser, page_of(row))

    assert len(text) < 60_000
    assert "characters more" in text


def test_a_task_whose_outcome_was_never_given_has_none(browser):
    row = task(1, value=None, body=b"")

    assert '<pre class="djq-value">None</pre>' in page(browser, page_of(row))


def test_the_page_of_a_task_asks_little(browser):
    row = task(1, args=(1,), result=2)

    assert len(queries_of(browser, page_of(row))) < 14


# Who may do what.


def test_who_may_look_sees_and_changes_nothing(client):
    reader = user_with(client, "view")
    done, failed = task(1), task(2, success=False)

    assert shown(reader, SUCCESSES) == ["task-1"]
    assert shown(reader, FAILURES) == ["task-2"]
    for row in (done, failed):
        text = page(reader, page_of(row))
        assert "_save" not in text
        assert "Delete" not in text
        assert reader.post(page_of(row), {"name": "mine"}).status_code == 403
        assert (
            reader.post(page_of(row).replace("change", "delete"), {"post": "yes"}).status_code
            == 403
        )
    assert 'name="action"' not in page(reader, FAILURES)
    for action in ("resubmit", "delete_selected"):
        act(reader, FAILURES, action, failed.pk, post="yes")
    assert (Task.objects.count(), Task.objects.filter(name="mine").exists()) == (2, False)


def test_who_may_not_look_sees_nothing(client):
    stranger = user_with(client)
    row = task(1)

    for url in (SUCCESSES, FAILURES, page_of(row)):
        assert stranger.get(url).status_code == 403


def test_nobody_adds_or_changes_a_task(browser):
    row = task(1)

    for url in (SUCCESSES, FAILURES):
        assert browser.get(f"{url}add/").status_code == 403
    assert browser.post(page_of(row), {"name": "mine"}).status_code == 403
    assert "_save" not in page(browser, page_of(row))


# Deleting.


def test_a_task_is_deleted_on_its_page(browser):
    row = task(1)

    browser.post(page_of(row).replace("change", "delete"), {"post": "yes"})

    assert not Task.objects.exists()


def test_of_all_that_was_found_an_action_takes_the_first(browser):
    many(550)
    task(5_000, success=False)

    first = act(browser, SUCCESSES, "delete_selected", f"{1:032x}", select_across=1)
    assert said(first) == ["There are more than 500: these are the first of them."]
    assert first.content.decode().count('name="_selected_action"') == 500
    act(browser, SUCCESSES, "delete_selected", f"{1:032x}", select_across=1, post="yes")

    assert (Success.objects.count(), Failure.objects.count()) == (50, 1)
    assert shown(browser, SUCCESSES)[0] == "task-49"


def test_of_what_a_filter_has_left_all_are_deleted(browser):
    for number in range(6):
        task(number, group="old" if number < 4 else None)

    url = f"{SUCCESSES}?group=old"
    act(browser, url, "delete_selected", f"{1:032x}", select_across=1, post="yes")

    assert shown(browser, SUCCESSES) == ["task-5", "task-4"]
