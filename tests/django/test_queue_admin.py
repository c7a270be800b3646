"""The admin of the ORM broker's queue: what waits, and that nothing in it can break the page."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from djq.assembly import make_codec
from djq.brokers import get_broker
from djq.core.call import dump_call
from djq.core.frame import pack
from djq.core.message import TaskMessage
from djq.models import OrmQ
from djq.tasks import async_task
from tests.django import task_samples as samples
from tests.django.admin_parts import NOON, QUEUE, act, page, user_with
from tests.django.frozen import freeze_time

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon():
    with freeze_time(NOON) as frozen:
        yield frozen


@pytest.fixture
def browser(client):
    client.force_login(User.objects.create_superuser("ann"))
    return client


def page_of(row):
    return f"{QUEUE}{row.pk}/change/"


def put(payload, **fields):
    return OrmQ.objects.create(
        **{"key": "tests", "payload": payload, "available_at": NOON, **fields}
    )


def packed(body, queue="tests", **fields):
    message = {"id": "a" * 32, "name": "task-1", "func": "math.floor", "enqueued_at": NOON}
    return make_codec(queue=queue).seal(pack(TaskMessage(**{**message, **fields}, body=body)))


def posted(client, url, **changes):
    """What the form of a page would post, with changes."""
    fields = {}
    for tag in re.findall(r"<input[^>]*>", client.get(url).content.decode()):
        attributes = dict(re.findall(r'(\w[\w-]*)="([^"]*)"', tag))
        if attributes.get("type") != "submit" and "name" in attributes:
            fields[attributes["name"]] = html.unescape(attributes.get("value", ""))
    return {**fields, **changes}


def cells(text):
    """The cells of the first row of a list, by the names of its columns."""
    row = text.partition("<tbody>")[2].partition("</tr>")[0]
    found = re.findall(r'class="field-(\w+)[^"]*">(.*?)</t[dh]>', row, re.DOTALL)
    return {name: re.sub(r"<[^>]*>", "", value) for name, value in found}


class WritesToDefault:
    """A router of the usual kind, for a project with a primary database and its replicas."""

    def db_for_write(self, model, **hints):
        return "default"


# The list.


def test_what_waits_is_listed(browser):
    id = async_task(samples.give, 1, task_name="task-1", group="letters")
    row = OrmQ.objects.get()

    text = page(browser, QUEUE)

    assert cells(text) == {
        "id": str(row.pk),
        "key": "tests",
        "task_id": id,
        "name": "task-1",
        "func": "tests.django.task_samples.give",
        "group": "letters",
        "tries": "0",
        "taken_at": "-",
        "lease": "waits",
    }
    assert "Lock" in text


def test_what_is_being_run_is_told_from_what_waits(browser, noon):
    async_task(samples.give, 1)

    def states():
        found = cells(page(browser, QUEUE))
        return found["tries"], found["taken_at"], found["lease"]

    ((receipt, _),) = [tuple(each) for each in get_broker().dequeue()]
    assert states() == ("1", "Nov. 23, 2026, noon", "leased until Nov. 23, 2026, 12:01 p.m.")
    noon.tick(timedelta(minutes=2))
    assert states() == ("1", "Nov. 23, 2026, noon", "waits; its lease has ended")
    OrmQ.objects.update(lock=None, available_at=NOON + timedelta(hours=1))
    assert states()[1:] == ("-", "not before Nov. 23, 2026, 1 p.m.")
    assert receipt


def test_a_list_opens_no_call(browser):
    put(packed(dump_call("math.floor", (samples.CountsTasks(),), {})))
    put(packed(b"no pickle"))

    with CaptureQueriesContext(connection) as asked:
        text = page(browser, QUEUE)

    assert text.count("task-1") == 2
    assert not [each for each in asked if 'FROM "djq_task"' in each["sql"]]


def test_a_list_costs_the_same_for_one_row_and_for_many(browser):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            page(browser, QUEUE)
        return len(captured)

    async_task(samples.give, 1)
    few = queries()
    for number in range(40):
        async_task(samples.give, number)

    assert queries() == few < 10


BAD = [
    "",
    "rubbish",
    "<script>alert(1)</script>",
    "pAAAA",
    "x" * 200,
    "é\ud7ff",
]


@pytest.mark.parametrize("payload", BAD)
def test_a_package_that_cannot_be_opened_is_a_mark(browser, payload):
    row = put(payload)

    for url in (QUEUE, page_of(row)):
        text = browser.get(url).content.decode()
        assert '<strong class="djq-unreadable">⚠ The signature is missing or wrong' in text
        assert "<script>alert" not in text


def test_a_package_for_another_queue_is_a_mark(browser):
    put(packed(b"", queue="other"))
    put(packed(b"", queue="other"), key="other")

    text = page(browser, QUEUE)

    assert (text.count("djq-unreadable"), text.count("task-1")) == (1, 1)


def test_a_package_that_was_signed_and_is_no_frame_is_a_mark(browser):
    put(make_codec(queue="tests").seal(b"no frame"))

    assert page(browser, QUEUE).count("djq-unreadable") == 1


def test_a_large_package_is_looked_into_on_its_own_page(browser):
    row = put(packed(dump_call("math.floor", ("x" * 60_000,), {})))

    listed = page(browser, QUEUE)
    assert ("characters: see its page" in listed, "task-1" in listed) == (True, False)
    assert ">task-1<" in page(browser, page_of(row))


# The page of a package.


def test_a_package_is_shown_with_its_call_and_its_options(browser):
    async_task(samples.give, 1, key="<b>", timeout=30, hook=samples.note, group="letters")
    row = OrmQ.objects.get()

    raw = browser.get(page_of(row)).content.decode()

    assert '<pre class="djq-value">(1,)</pre>' in raw
    assert "{&#x27;key&#x27;: &#x27;&lt;b&gt;&#x27;}" in raw
    text = html.unescape(raw)
    for value in (
        '{"timeout":30.0}',
        "tests.django.task_samples.note",
        "letters",
        str(len(row.payload)),
    ):
        assert f">{value}<" in text


def test_a_call_that_cannot_be_opened_is_a_mark(browser):
    row = put(packed(b"no pickle"))

    text = page(browser, page_of(row))

    assert text.count("djq-unreadable") == 2
    assert ">task-1<" in text


def test_only_when_it_is_due_can_be_changed(browser):
    row = put("x", attempts=2)
    url = page_of(row)

    fields = {"available_at_0": "2026-11-24", "key": "mine", "payload": "mine", "attempts": 9}
    assert browser.post(url, posted(browser, url, **fields)).status_code == 302

    after = OrmQ.objects.get()
    assert after.available_at == NOON + timedelta(days=1)
    assert (after.key, after.payload, after.attempts, after.lock) == ("tests", "x", 2, None)


def test_a_page_opened_before_a_cluster_took_the_package_ends_no_lease(browser):
    row = put("x", available_at=NOON - timedelta(microseconds=5))
    form = posted(browser, page_of(row))
    OrmQ.objects.update(lock=NOON, available_at=NOON + timedelta(minutes=1), attempts=1)

    browser.post(page_of(row), form)

    assert OrmQ.objects.get().available_at == NOON + timedelta(minutes=1)


@pytest.mark.parametrize(("day", "status"), [("", 302), ("soon", 200)])
def test_a_time_that_is_none_changes_nothing(browser, day, status):
    row = put("x")
    form = posted(browser, page_of(row), available_at_0=day, available_at_1="")

    assert browser.post(page_of(row), form).status_code == status

    assert OrmQ.objects.get().available_at == NOON


def test_packages_are_deleted(browser):
    one, two, three = put("x"), put("y"), put("z")

    browser.post(page_of(one).replace("change", "delete"), {"post": "yes"})
    act(browser, QUEUE, "delete_selected", two.pk, post="yes")

    assert OrmQ.objects.get() == three


def test_a_package_that_is_gone_is_no_error(browser):
    row = put("x")
    url = page_of(row)
    row.delete()

    assert browser.get(url).status_code == 302
    assert browser.post(url, {}).status_code == 302


# Who, where, and with what broker.


def test_who_may_look_sees_and_changes_nothing(client):
    reader = user_with(client, "view")
    row = put(packed(b""))

    assert "task-1" in page(reader, QUEUE)
    assert "_save" not in page(reader, page_of(row))
    assert 'name="action"' not in page(reader, QUEUE)
    assert reader.post(page_of(row), {"available_at_0": "2027-01-01"}).status_code == 403
    assert reader.post(page_of(row).replace("change", "delete"), {"post": "yes"}).status_code == 403
    act(reader, QUEUE, "delete_selected", row.pk, post="yes")
    assert OrmQ.objects.get().available_at == NOON


def test_nobody_adds_a_package(browser):
    assert browser.get(f"{QUEUE}add/").status_code == 403


def test_with_another_broker_there_is_no_such_page(browser, settings):
    row = put("x")
    assert "Queued tasks" in page(browser, "/admin/")
    settings.Q_CLUSTER = {"name": "tests", "redis": "redis://127.0.0.1:6379/0"}

    assert "Queued tasks" not in page(browser, "/admin/")
    for url in (QUEUE, page_of(row)):
        assert browser.get(url).status_code == 403


def test_with_settings_that_have_errors_there_is_no_such_page(browser, settings):
    settings.Q_CLUSTER = {"workers": "many"}

    assert browser.get(QUEUE).status_code == 403
    assert "Queued tasks" not in page(browser, "/admin/")


@pytest.mark.django_db(databases=["default"])
def test_a_queue_in_another_database_is_listed_changed_and_deleted(
    browser, settings, add_database, tmp_path
):
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "queue.db")}
    alias = add_database("queues", file, OrmQ)
    settings.Q_CLUSTER = {"name": "tests", "orm": alias}
    async_task(samples.give, 1, task_name="task-1")
    rows = OrmQ.objects.using(alias)
    url = page_of(rows.get())

    assert "task-1" in page(browser, QUEUE)
    browser.post(url, posted(browser, url, available_at_0="2027-01-01", available_at_1="00:00:00"))
    assert rows.get().available_at == datetime(2027, 1, 1, tzinfo=UTC)
    act(browser, QUEUE, "delete_selected", rows.get().pk, post="yes")

    assert (rows.count(), OrmQ.objects.count()) == (0, 0)


@pytest.mark.django_db(databases=["default"])
def test_a_package_is_deleted_where_the_queue_is_whatever_a_router_says(
    browser, settings, add_database, tmp_path
):
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "queue.db")}
    alias = add_database("queues", file, OrmQ)
    settings.Q_CLUSTER = {"name": "tests", "orm": alias}
    settings.DATABASE_ROUTERS = [f"{__name__}.WritesToDefault"]
    async_task(samples.give, 1)
    rows = OrmQ.objects.using(alias)
    waiting = rows.get()
    elsewhere = put("of another queue", pk=waiting.pk)

    browser.post(f"{QUEUE}{waiting.pk}/delete/", {"post": "yes"})

    assert (rows.count(), list(OrmQ.objects.using("default"))) == (0, [elsewhere])
