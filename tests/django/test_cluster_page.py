"""The admin's page of the clusters: who sees what, what it costs, what it does when something is away."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Permission, User
from django.urls import path

from djq import assembly
from djq.admin import ClustersAdmin, ScheduleAdmin, looks
from djq.admin.chart import HEIGHT, chart_of
from djq.admin.words import ago, coming, lasting
from djq.boards.database import DatabaseBoard
from djq.brokers import Broker, get_broker
from djq.core.protocol import Running
from djq.core.tally import Count
from djq.exceptions import BoardUnavailable
from djq.models import Clusters, OrmQ, Schedule
from djq.monitor import Stat, written
from djq.wiring import wired
from djq_testing.clock import ManualClock
from tests.django.admin_parts import page as text_of
from tests.django.admin_parts import task

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
PAGE = "/admin/djq/clusters/"
RENEWAL = f"{PAGE}now/"
BOTH = pytest.mark.parametrize("url", [PAGE, RENEWAL])

back_office = AdminSite("back")
back_office.register(Clusters, ClustersAdmin)
back_office.register(Schedule, ScheduleAdmin)
urlpatterns = [path("back/", back_office.urls)]


class Board:
    """A board with these clusters; a text is an error instead."""

    def __init__(self, *stats):
        self.stats = stats

    def read(self):
        if self.stats and isinstance(self.stats[0], str):
            raise BoardUnavailable(*self.stats)
        return [written(stat) for stat in self.stats]


class Hanging(Broker):
    """A broker whose server says nothing until it is let go."""

    let_go = threading.Event()
    asked = 0

    def info(self):
        return "hanging"

    def queue_size(self):
        type(self).asked += 1
        self.let_go.wait(20)
        return 7


class Broken(Broker):
    """A broker with a fault in its code."""

    def queue_size(self):
        return {}["no <key>"]


def cluster(number=1, **fields):
    made = {"cluster_id": number, "host": "orion", "tob": NOW, "now": NOW, "status": "Idle"}
    return Stat(**{**made, **fields})


def running(name="long-one", **fields):
    made = {
        "id": "a" * 32,
        "func": "shop.report",
        "worker": 11,
        "since": NOW - timedelta(seconds=75),
    }
    return Running(**{**made, "name": name, "attempt": 2, **fields})


def rendered(client, *stats, url=PAGE):
    with wired(board=Board(*stats)):
        return text_of(client, url)


def figure(page, name):
    found = re.search(rf'id="djq-{name}".*?data-value="(\d+)"', page, re.DOTALL)
    return None if found is None else int(found[1])


def notices(page):
    return re.findall(r'<li class="(error|warning)">(.*?)</li>', page, re.DOTALL)


@pytest.fixture(autouse=True)
def one_o_clock():
    with wired(clock=ManualClock(NOW)):
        yield


@pytest.fixture
def ann(client):
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def log_in(client):
    def as_one_with(*permissions, **fields):
        user = User.objects.create_user("bob", **{"is_staff": True, **fields})
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return as_one_with


# --- Who sees what


def test_who_is_logged_out_is_led_to_the_log_in_and_a_renewal_is_refused(client):
    assert client.get(PAGE)["Location"] == f"/admin/login/?next={PAGE}"
    assert client.get(RENEWAL).status_code == 403


def test_who_may_not_see_clusters_is_refused(log_in):
    client = log_in("view_task", "view_failure", "change_schedule")

    assert [client.get(url).status_code for url in (PAGE, RENEWAL)] == [403, 403]
    assert "clusters/" not in text_of(client, "/admin/")


def test_who_is_not_of_the_staff_is_refused(log_in):
    client = log_in("view_clusters", is_staff=False)

    assert client.get(PAGE).status_code == 302
    assert client.get(RENEWAL).status_code == 403


def test_a_page_is_only_looked_at(ann):
    assert [ann.post(url).status_code for url in (PAGE, RENEWAL)] == [405, 405]


def test_the_index_of_the_admin_leads_to_it(log_in):
    page = text_of(log_in("view_clusters"), "/admin/")

    assert f'href="{PAGE}"' in page
    assert f'{PAGE}add/"' not in page


@BOTH
def test_rows_and_links_are_for_those_who_may_see_the_rows(log_in, url):
    task(1, success=False, name="broken-one")
    Schedule.objects.create(name="nightly", func="math.sqrt", next_run=NOW)
    client = log_in("view_clusters")
    before = rendered(client, cluster(running=(running(),)), url=url)
    every = Permission.objects.filter(codename__in=["view_failure", "view_schedule", "view_ormq"])
    User.objects.get().user_permissions.add(*every)

    after = rendered(client, cluster(running=(running(),)), url=url)

    for mark in ("broken-one", "nightly", "/failure/", "/schedule/", "/ormq/"):
        assert mark not in before
        assert mark in after
    assert "long-one" in before


@pytest.mark.urls(__name__)
def test_its_links_stay_within_the_admin_that_it_is_in(ann):
    Schedule.objects.create(name="nightly", func="math.sqrt", next_run=NOW)
    task(1, success=False, name="broken-one")

    page = rendered(ann, cluster(), url="/back/djq/clusters/")

    assert 'data-now-url="/back/djq/clusters/now/"' in page
    assert re.search(r'href="/back/djq/schedule/\d+/change/"', page)
    assert "/admin/" not in re.sub(r"static/admin/", "", page)
    # Failures have no page there.
    assert "broken-one" not in page


# --- What it shows


def test_it_shows_what_the_clusters_have_told(ann):
    first = cluster(
        tob=NOW - timedelta(hours=26),
        status="Working",
        workers=(11, 12),
        running=(running(),),
        task_q_size=3,
        done_q_size=1,
        last_minute=Count(2, 1),
        last_hour=Count(20, 1),
        last_day=Count(200, 3),
    )
    second = cluster(2, host="rigel", workers=(21,), last_hour=Count(5, 4))

    page = rendered(ann, first, second)

    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "orion:1 Working 1 d 2 h 1 of 2 3 tasks, 1 result 0 20, 1 failed" in text
    assert "rigel:2 Idle 0 s 0 of 1" in text
    assert "11 of orion:1 long-one shop.report 1 min 15 s 2" in text
    assert text.index("long-one") < text.index("12 of orion:1 idle") < text.index("21 of rigel:2")
    assert figure(page, "busy") == 1
    assert "on 3 workers" in text
    assert [figure(page, name) for name in ("minute", "hour", "day")] == [2, 25, 200]
    assert notices(page) == []


def test_it_shows_the_queue_failures_and_schedules(ann, settings):
    # A broker that was made for another test has another clock.
    settings.Q_CLUSTER = {"name": "page", "orm": "default"}
    broker = get_broker()
    OrmQ.objects.bulk_create(
        OrmQ(key=broker.list_key, payload="package", available_at=NOW - timedelta(seconds=95))
        for _ in range(3)
    )
    broker.dequeue()
    task(0, success=False, name="broken-one", result="ValueError: no such fruit\nnor any other")
    made = Schedule.objects.create(func="math.sqrt", next_run=NOW + timedelta(minutes=5))

    page = rendered(ann, cluster())

    assert (figure(page, "waiting"), figure(page, "locked")) == (2, 1)
    assert figure(page, "oldest") == 95
    assert "the oldest for 1 min 35 s" in page
    assert f'href="/admin/djq/failure/{0:032x}/change/">broken-one<' in page
    assert "1 h 0 min ago" in page
    assert "<code>ValueError: no such fruit…</code>" in page
    assert f'href="/admin/djq/schedule/{made.pk}/change/">math.sqrt<' in page
    assert "in 5 min 0 s" in page


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_are_those_of_the_project(ann, settings, use_tz):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "America/New_York"
    five_past = NOW + timedelta(minutes=5)
    at = five_past if use_tz else (five_past - timedelta(hours=5)).replace(tzinfo=None)
    Schedule.objects.create(func="math.sqrt", next_run=at)

    page = rendered(ann, cluster())

    assert "As of 08:00:00" in page
    assert 'data-label="At">Nov. 23, 2026, 8:05 a.m.<' in page


@BOTH
def test_nothing_that_a_task_says_becomes_markup(ann, url):
    evil = "<script>alert('x')</script>"
    task(1, success=False, name=evil, func=evil, result=evil)
    Schedule.objects.create(name=evil, func="math.sqrt", next_run=NOW)
    seen = cluster(host=evil, status=evil, workers=(11,), running=(running(evil, func=evil),))

    with wired(board=Board(seen)):
        page = ann.get(url).content.decode()

    assert evil not in page
    assert page.count("&lt;script&gt;alert(") >= 8


def test_it_needs_no_script_and_no_style_but_files(ann):
    page = rendered(ann, cluster(workers=(11,), running=(running(),)))

    assert re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|https?://(?!www\.w3\.org/)", page) == []


def test_it_costs_a_handful_of_queries_however_much_there_is(ann, django_assert_max_num_queries):
    for number in range(50):
        task(number, success=False)
        Schedule.objects.create(func="math.sqrt", next_run=NOW)
    many = [cluster(number, workers=tuple(range(8))) for number in range(50)]

    with wired(board=Board(*many)), django_assert_max_num_queries(8) as queries:
        page = ann.get(RENEWAL).content.decode()

    assert not [each for each in queries if re.search(r'COUNT.*"djq_task"', each["sql"])]
    assert page.count('id="djq-cluster-') == 50
    assert page.count('id="djq-worker-') == 100
    assert "and 300 more" in page
    assert page.count('id="djq-failure-') == page.count('id="djq-schedule-') == 10


# --- What is away


def test_no_cluster_at_all_is_worth_a_warning(ann):
    page = rendered(ann)

    assert notices(page) == [
        ("warning", "No cluster is known: what is queued waits until one is started.")
    ]


def test_clusters_say_what_they_cannot_reach(ann):
    away = NOW - timedelta(minutes=2)
    page = rendered(ann, cluster(1), cluster(2, broker_away_since=away, store_away_since=away))

    assert notices(page) == [
        ("error", "orion:2 has had no answer from the broker for 2 min 0 s."),
        ("error", "orion:2 cannot save results for 2 min 0 s now."),
    ]


def test_on_the_embedded_default_the_clusters_are_read_from_the_database(
    ann, settings, django_assert_max_num_queries
):
    settings.Q_CLUSTER = {"name": "page", "orm": "default"}
    board = assembly.board_of_this_thread()
    assert isinstance(board, DatabaseBoard)
    board.put("orion 1", written(cluster()), 60)

    # Two of them are of the test's own transaction.
    with django_assert_max_num_queries(10):
        page = text_of(ann, RENEWAL)

    assert "orion:1" in page
    assert notices(page) == []


@BOTH
def test_a_part_that_is_away_is_said_and_the_others_are_there(ann, url):
    task(1, success=False, name="broken-one")

    with wired(broker=lambda config, key: Broken(key), board=Board("no route")):
        page = text_of(ann, url)

    assert notices(page) == [
        ("error", "The statistics of clusters are away: BoardUnavailable: no route"),
        ("error", "The queue is away: KeyError: 'no <key>'"),
    ]
    assert "broken-one" in page
    assert figure(page, "waiting") is None


@pytest.mark.parametrize("part", ["", "now/"])
def test_a_database_that_is_away_ends_no_page_with_atomic_requests(
    ann, settings, add_database, part
):
    server = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "x",
        "HOST": "127.0.0.1",
        "PORT": 1,
    }
    settings.Q_CLUSTER = {
        "name": "tests",
        "orm": add_database("away", {**server, "ATOMIC_REQUESTS": True}),
    }
    office = AdminSite("admin")
    office.register(Clusters, ClustersAdmin)
    settings.ROOT_URLCONF = (path("admin/", office.urls),)

    page = text_of(ann, f"{PAGE}{part}")

    assert "The queue is away" in page


def test_settings_with_errors_are_said(ann, settings):
    settings.Q_CLUSTER = {"workers": "many"}

    page = text_of(ann, PAGE)

    ((level, words),) = notices(page)
    assert level == "error"
    assert words.startswith("Q_CLUSTER has errors: ")
    assert "'workers'" in words


def test_a_broker_that_hangs_is_away_in_time_and_costs_one_thread():
    Hanging.asked = 0
    Hanging.let_go.clear()
    with wired(broker=lambda config, key: Hanging(key), board=Board(cluster())):
        seen = [looks.look(["queue", "clusters"], seconds=0.05) for _ in range(3)]
        Hanging.let_go.set()
        after = looks.look(["queue"], seconds=10)

    assert [each.errors for each in seen] == [{"queue": "no answer within 0.05 s"}] * 3
    assert [each.queue for each in seen] == [None] * 3
    assert [len(each.clusters) for each in seen] == [1] * 3
    assert Hanging.asked <= 2
    assert after.queue.size == 7


# --- Chart and words


def test_minutes_of_several_clusters_are_added_from_the_youngest_on():
    chart = chart_of(
        [
            cluster(minutes=(*[Count(1, 0)] * 58, Count(9, 0), Count(10, 5))),
            cluster(minutes=(Count(2, 1),)),
            cluster(),
        ]
    )

    assert chart.total == Count(79, 6)
    assert chart.most == 18
    assert chart.bars[-1].words == "this minute: 12 succeeded, 6 failed"
    assert chart.bars[-2].words == "1 minute ago: 9 succeeded, 0 failed"
    assert chart.bars[0].words == "59 minutes ago: 1 succeeded, 0 failed"
    assert [row.count for row in chart.rows[:2]] == [Count(24, 6), Count(5, 0)]
    assert chart.rows[0].when == "0 to 5 minutes ago"


@pytest.mark.parametrize(
    "last", [Count(0, 0), Count(1, 0), Count(0, 1), Count(9, 9_999), Count(9_999, 1)]
)
def test_bars_stay_within_the_picture_and_the_least_of_them_is_seen(last):
    chart = chart_of([cluster(minutes=(Count(1, 0), last))])

    line = float(chart.line_y)
    for bar in chart.bars:
        up, down = float(bar.succeeded_height), float(bar.failed_height)
        assert 0 <= float(bar.succeeded_y) <= line
        assert float(bar.succeeded_y) + up == pytest.approx(line, abs=0.11)
        assert line + down <= HEIGHT
    assert (float(chart.bars[-1].succeeded_height) > 1) == (last.succeeded > 0)
    assert (float(chart.bars[-1].failed_height) > 1) == (last.failed > 0)


def test_lengths_in_a_chart_have_points_in_every_language(ann, settings):
    settings.LANGUAGE_CODE = "de"

    page = rendered(ann, cluster(minutes=(Count(3, 2), Count(4, 1)), last_hour=Count(1_234, 0)))

    (picture,) = re.findall(r"<svg viewBox.*?</svg>", page, re.DOTALL)
    assert re.findall(r'(?:x|y|width|height|x1|x2|y1|y2|viewBox)="[^"]*,[^"]*"', picture) == []
    assert figure(page, "hour") == 1_234


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_lengths_of_time_are_short(seconds, words):
    assert lasting(seconds) == words


def test_what_comes_may_be_due():
    assert ago(NOW - timedelta(seconds=5), NOW) == "5 s ago"
    assert coming(NOW + timedelta(seconds=5), NOW) == "in 5 s"
    assert coming(NOW - timedelta(seconds=5), NOW) == "due for 5 s"
