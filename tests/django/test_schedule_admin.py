"""The admin of schedules: validation, preview, and that an old page sets nothing back."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from djq.models import OrmQ, Schedule, Task
from djq.wiring import wired
from tests.django.admin_parts import act, said, user_with
from tests.django.frozen import freeze_time
from tests.django.sending_parts import CountingBroker

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIST = "/admin/djq/schedule/"


@pytest.fixture(autouse=True)
def noon():
    with freeze_time(NOON) as frozen:
        yield frozen


@pytest.fixture
def browser(client):
    client.force_login(User.objects.create_superuser("ann"))
    return client


def page_of(schedule):
    return f"{LIST}{schedule.pk}/change/"


def fields_of(page):
    """The values that the form of a page would post as it is."""
    found = {}
    for tag in re.findall(r"<input[^>]*>", page):
        attributes = dict(re.findall(r'(\w[\w-]*)="([^"]*)"', tag))
        ticked = attributes.get("type") == "checkbox"
        if (
            "name" in attributes
            and attributes.get("type") != "submit"
            and not (ticked and "checked" not in tag)
        ):
            value = attributes.get("value", "on" if ticked else "")
            found[attributes["name"]] = html.unescape(value)
    for name, body in re.findall(
        r'<textarea[^>]*name="(\w+)"[^>]*>(.*?)</textarea>', page, re.DOTALL
    ):
        found[name] = html.unescape(body.removeprefix("\n"))
    for name, body in re.findall(r'<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', body)
        found[name] = chosen[1] if chosen else ""
    return found


def form(browser, url):
    found = fields_of(browser.get(url).content.decode())
    return {name: value for name, value in found.items() if not name.startswith("_")}


def errors(answer):
    return answer.context["adminform"].form.errors


def test_a_schedule_is_added(browser):
    posted = form(browser, f"{LIST}add/")
    posted |= {"func": "math.floor", "args": "1.5", "schedule_type": "D", "name": "daily"}

    answer = browser.post(f"{LIST}add/", posted)

    assert answer.status_code == 302
    made = Schedule.objects.get()
    assert (made.func, made.args, made.name, made.next_run) == ("math.floor", "1.5", "daily", NOON)


def test_each_wrong_field_has_its_sentence(browser):
    posted = form(browser, f"{LIST}add/")
    posted |= {"func": "floor", "args": "x", "kwargs": "1", "cron": "1 2", "time_zone": "Mars"}
    posted |= {"q_options": "tiemout=1", "intended_date_kwarg": "a b"}

    answer = browser.post(f"{LIST}add/", posted)

    assert answer.status_code == 200
    assert set(errors(answer)) == {
        *("func", "args", "kwargs", "cron", "time_zone", "intended_date_kwarg")
    }
    assert "dotted path" in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [("cron", "30 2 * * *", "O"), ("minutes", 5, "O"), ("cron", "30 2 * * *", "I")],
)
def test_what_is_written_for_another_type_is_refused_and_not_passed_over(field, value, kind):
    other = {"minutes": 5} if kind == "I" else {}
    made = Schedule(func="math.sqrt", args="4", schedule_type=kind, **{field: value}, **other)

    with pytest.raises(ValidationError, match="which only the type") as caught:
        made.full_clean()

    assert list(caught.value.message_dict) == [field]


def test_the_form_has_room_for_a_line_of_arguments(browser):
    page = browser.get(f"{LIST}add/").content.decode()

    assert re.findall(r'<textarea name="(\w+)" cols="40" rows="2"', page) == [
        "args",
        "kwargs",
        "q_options",
    ]


def test_the_form_shows_the_next_runs_and_marks_daylight_saving(browser):
    made = Schedule.objects.create(
        func="math.floor",
        schedule_type="D",
        time_zone="Europe/Berlin",
        next_run=datetime(2027, 3, 27, 1, 30, tzinfo=UTC),
    )

    page = browser.get(page_of(made)).content.decode()

    assert "<li>Sat 2027-03-27 02:30:00 +0100</li>" in page
    assert '<li class="djq-gap">Sun 2027-03-28 03:00:00 +0200 (gap' in page


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"enabled": False}, "paused"), ({"schedule_type": "C", "cron": "x"}, "cron is")],
)
def test_the_form_says_why_there_is_no_next_run(browser, fields, words):
    made = Schedule.objects.create(func="math.floor", **fields)

    assert words in browser.get(page_of(made)).content.decode()


def test_a_page_opened_a_while_ago_sets_nothing_back(browser):
    made = Schedule.objects.create(func="math.floor", schedule_type="H")
    posted = form(browser, page_of(made))
    later = NOON + timedelta(hours=1)
    Schedule.objects.update(next_run=later, repeats=-2, task="b" * 32)

    answer = browser.post(page_of(made), posted | {"args": "2"})

    assert answer.status_code == 302, errors(answer)
    made.refresh_from_db()
    assert (made.args, made.next_run, made.repeats, made.task) == ("2", later, -2, "b" * 32)


def test_what_is_changed_in_the_form_is_written(browser):
    made = Schedule.objects.create(func="math.floor", schedule_type="H")
    posted = form(browser, page_of(made))

    browser.post(page_of(made), posted | {"next_run_0": "2027-01-01", "repeats": "4"})

    made.refresh_from_db()
    assert (made.next_run, made.repeats) == (NOON.replace(year=2027, month=1, day=1), 4)


def test_a_page_saved_as_it_was_writes_nothing(browser):
    made = Schedule.objects.create(func="math.floor", schedule_type="H", name="x")
    posted = form(browser, page_of(made))

    with CaptureQueriesContext(connection ) as queries:  # fmt: skip
        browser.post(page_of(made), posted)

    assert not [each for each in queries if each["sql"].startswith('UPDATE "djq_schedule"')]


def test_a_schedule_that_is_enabled_again_goes_on_with_its_next_slot(browser):
    made = Schedule.objects.create(
        func="math.floor", schedule_type="H", enabled=False, next_run=NOON - timedelta(hours=9.5)
    )
    posted = form(browser, page_of(made))

    browser.post(page_of(made), posted | {"enabled": "on"})

    made.refresh_from_db()
    assert (made.enabled, made.next_run) == (True, NOON + timedelta(hours=0.5))


def test_the_list_costs_the_same_for_one_row_and_for_many(browser):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            page = browser.get(LIST)
            assert page.status_code == 200
        return len(captured)

    for number in range(2):
        Task.objects.create(
            id=f"{number:032x}", name=f"t-{number}", func="f.g", started=NOON, stopped=NOON
        )
        Schedule.objects.create(func="math.floor", task=f"{number:032x}")
    few = queries()
    for _ in range(20):
        Schedule.objects.create(func="math.floor", task=f"{0:032x}", last_error="x" * 200)

    assert queries() == few
    assert "[t-1]" in browser.get(LIST).content.decode()


@pytest.mark.parametrize(
    ("action", "before", "holds"),
    [
        ("pause", True, lambda made: not made.enabled),
        ("resume", False, lambda made: made.enabled),
        ("run_now", True, lambda _: OrmQ.objects.count() == 1),
    ],
)
def test_actions_do_it_with_all_that_are_chosen(browser, action, before, holds):
    made = Schedule.objects.create(func="math.floor", enabled=before)

    browser.post(LIST, {"action": action, "_selected_action": [made.pk]})

    made.refresh_from_db()
    assert holds(made)


def test_an_action_that_fails_says_why_and_goes_on(browser):
    bad = Schedule.objects.create(func="math.floor", args="x")
    good = Schedule.objects.create(func="math.floor")

    answer = browser.post(
        LIST, {"action": "run_now", "_selected_action": [bad.pk, good.pk]}, follow=True
    )

    assert OrmQ.objects.count() == 1
    assert "cannot be read" in html.unescape(answer.content.decode())


def previewed(answer):
    """The next runs on a page, each by its day and time."""
    assert answer.status_code == 200
    return re.findall(r"<li[^>]*>\w+ ([\d-]+ [\d:]+)", answer.content.decode())


def test_the_preview_shows_what_is_typed_and_saves_nothing(browser):
    made = Schedule.objects.create(func="math.floor", schedule_type="H", name="x")
    typed = form(browser, page_of(made)) | {"schedule_type": "D", "repeats": "2", "args": "2"}

    answer = browser.post(page_of(made), typed | {"_preview": "1"})

    assert previewed(answer) == ["2026-11-23 12:00:00", "2026-11-24 12:00:00"]
    assert fields_of(answer.content.decode())["args"] == "2"
    made.refresh_from_db()
    assert (made.schedule_type, made.repeats, made.args) == ("H", -1, None)

    browser.post(page_of(made), form_after(answer))
    made.refresh_from_db()
    assert (made.schedule_type, made.repeats, made.args) == ("D", 2, "2")


def form_after(answer):
    found = fields_of(answer.content.decode())
    return {name: value for name, value in found.items() if not name.startswith("_")}


def test_a_schedule_is_previewed_before_there_is_one(browser):
    typed = form(browser, f"{LIST}add/") | {"func": "math.floor", "schedule_type": "C"}
    assert previewed(browser.get(f"{LIST}add/")) == []

    answer = browser.post(f"{LIST}add/", typed | {"cron": "30 3 * * 1", "_preview": "1"})

    assert previewed(answer)[:2] == ["2026-11-30 03:30:00", "2026-12-07 03:30:00"]
    assert not Schedule.objects.exists()


def test_a_preview_of_what_is_wrong_says_so(browser):
    made = Schedule.objects.create(func="math.floor")
    typed = form(browser, page_of(made)) | {"cron": "x y", "schedule_type": "C", "_preview": "1"}

    answer = browser.post(page_of(made), typed)

    assert (set(errors(answer)), previewed(answer)) == ({"cron"}, [])


def test_what_actions_do_is_said_and_stands_in_the_history(browser):
    made = [Schedule.objects.create(func="math.floor", name=name) for name in ("a", "b")]

    answer = act(browser, LIST, "pause", *[each.pk for each in made])

    assert said(answer) == ["Done with 2 schedules."]
    assert "Paused." in browser.get(f"{LIST}{made[0].pk}/history/").content.decode()


def test_run_now_with_a_broker_that_is_away_is_a_message(browser):
    broker = CountingBroker("tests")
    broker.away_after = 0
    made = Schedule.objects.create(func="math.floor", name="a")

    with wired(broker=lambda _config, _key: broker):
        answer = act(browser, LIST, "run_now", made.pk)

    assert said(answer) == ["a: no answer"]
    made.refresh_from_db()
    assert made.task is None


def test_who_may_look_sees_and_changes_nothing(client):
    reader = user_with(client, "view")
    made = Schedule.objects.create(func="math.floor", name="<b>", schedule_type="D")

    text = reader.get(page_of(made)).content.decode()
    assert ("2026-11-24 12:00:00" in text, "&lt;b&gt;" in text) == (True, True)
    assert ("_save" in text, "_preview" in text, "<b>" in text) == (False, False, False)
    assert 'name="action"' not in reader.get(LIST).content.decode()
    assert reader.get(f"{LIST}add/").status_code == 403
    for posted in ({"func": "f.g"}, {"func": "f.g", "_preview": "1"}):
        assert reader.post(page_of(made), posted).status_code == 403
    for action in ("pause", "run_now", "delete_selected"):
        act(reader, LIST, action, made.pk, post="yes")

    made.refresh_from_db()
    assert (made.enabled, made.func, OrmQ.objects.count()) == (True, "math.floor", 0)


def test_a_list_is_filtered_searched_and_sorted_as_in_the_manual(browser):
    later = NOON + timedelta(days=40)
    Schedule.objects.create(func="a.b", schedule_type="D", name="daily")
    Schedule.objects.create(func="c.d", schedule_type="H", name="hourly", next_run=later)

    def listed(**asked):
        answer = browser.get(LIST, asked)
        assert answer.status_code == 200
        return [each.name for each in answer.context["cl"].result_list]

    assert listed() == ["daily", "hourly"]
    assert listed(q="c.d") == listed(schedule_type__exact="H") == ["hourly"]
    assert listed(next_run__gte="2026-12-01 00:00:00+00:00") == ["hourly"]
    assert listed(o="-2") == ["hourly", "daily"]
    for words in ("By next run", "By schedule type", "By enabled"):
        assert words in browser.get(LIST).content.decode()
