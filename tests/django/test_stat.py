"""`Stat.get_all` and `Stat.get` (the manual, 1.10.3), and the text that a picture travels as."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from django.test import override_settings

from djq import assembly
from djq.boards.cache import CacheBoard
from djq.boards.database import DatabaseBoard
from djq.boards.redis import RedisBoard
from djq.brokers import Broker
from djq.conf import get_config
from djq.core.totals import Totals
from djq.exceptions import ConfigError
from djq.models import Picture
from djq.monitor import (
    FIELDS,
    RUNNING_FIELDS,
    Count,
    FuncTotal,
    Restarts,
    Running,
    Stat,
    read,
    written,
)
from djq.wiring import wired
from djq_testing.fakes.redis import fake_redis

BORN = datetime(2026, 11, 23, 12, tzinfo=UTC)
HERE = socket.gethostname()
IN_FILES = "django.core.cache.backends.filebased.FileBasedCache"
LOCAL = "django.core.cache.backends.locmem.LocMemCache"
DUMMY = "django.core.cache.backends.dummy.DummyCache"


def stat(cluster_id=1234, host="orion", born=BORN, **fields):
    now = BORN + timedelta(seconds=75)
    return Stat(cluster_id=cluster_id, host=host, tob=born, now=now, **fields)


RUNNING = Running("a" * 32, "green-nine", "shop.tasks.report", 17006, BORN, 2)
FULL = stat(
    status="Working",
    sentinel=17005,
    monitor=17010,
    pusher=17011,
    workers=(17006, 17007),
    task_q_size=23,
    done_q_size=2,
    reincarnations=1,
    running=(RUNNING, attrs.evolve(RUNNING, worker=17007)),
    last_minute=Count(7, 1),
    last_hour=Count(70, 10),
    last_day=Count(700, 100),
    minutes=(Count(0, 0), Count(70, 10)),
    broker_away_since=BORN,
    store_away_since=BORN + timedelta(seconds=3),
    by_func=(
        FuncTotal("shop.tasks.report", 700, 99, 1_234.567, (0,) * 4 + (799,) + (0,) * 8),
        FuncTotal("other", 0, 1, 0.0, (1,) + (0,) * 12),
    ),
    restarts=Restarts(recycle=5, death=1),
)


@pytest.fixture
def board():
    board = RedisBoard("x", connect=fake_redis())
    with wired(board=board):
        yield board


def show(board, *stats):
    for each in stats:
        board.put(f"{each.host}:{each.cluster_id}:{each.tob}", written(each), 60)


def test_a_picture_comes_back_as_it_was():
    again = read(written(FULL))

    assert again == FULL
    assert again.tob.tzinfo is not None
    assert again.uptime() == 75
    assert not again.empty_queues()
    assert set(FIELDS) == {field.name for field in attrs.fields(Stat)}
    assert set(RUNNING_FIELDS) == {field.name for field in attrs.fields(Running)}


def test_a_cluster_that_has_no_children_yet_comes_back_too():
    blank = stat(born=None)

    assert read(written(blank)) == blank
    assert blank.empty_queues()
    assert blank.uptime() == 0


def test_a_later_djq_may_say_more():
    values = json.loads(written(FULL))
    for running in values["running"]:
        running["progress"] = 0.5
    for total in values["by_func"]:
        total.append("what a later djq tells of a function")
    values["restarts"]["flood"] = 1
    text = json.dumps({**values, "runs": ["a task"], "last_hour": [70, 10, 5]})

    assert read(text) == FULL


def test_where_another_djq_has_other_bounds_all_but_the_durations_is_understood():
    values = json.loads(written(FULL))
    values["by_func"][0][4] = [0, 800]

    assert read(json.dumps(values)).by_func == (
        attrs.evolve(FULL.by_func[0], durations=()),
        FULL.by_func[1],
    )


def test_seconds_are_told_to_the_millisecond_and_never_shrink():
    texts = [
        written(stat(by_func=(FuncTotal("f", 1, 0, seconds, ()),)))
        for seconds in (0.1 + 0.2, 0.30051, 1e9 / 3)
    ]

    assert [read(text).by_func[0].seconds for text in texts] == [0.3, 0.301, 333333333.333]


@pytest.mark.parametrize("name", FIELDS)
def test_an_earlier_djq_may_say_less(name):
    """What a cluster of another version leaves out has its default, where it has one."""
    values = json.loads(written(FULL))
    del values[name]
    default = getattr(attrs.fields(Stat), name).default

    again = read(json.dumps(values))

    if default is attrs.NOTHING:
        assert again is None
    else:
        assert again == attrs.evolve(FULL, **{name: default})


def test_a_picture_of_eight_workers_that_all_run_is_small():
    """Names are at most 100 characters long, functions 256."""
    busy = attrs.evolve(
        FULL,
        running=(Running("f" * 32, "n" * 100, "x" * 256, 4_000_000, BORN, 99),) * 8,
        workers=(4_000_000,) * 8,
        minutes=(Count(700_000, 700_000),) * 60,
    )

    assert len(written(busy)) < 6_000
    assert (
        len(written(attrs.evolve(FULL, running=(RUNNING,) * 8, minutes=(Count(9, 1),) * 60)))
        < 2_800
    )


def test_the_picture_of_a_cluster_that_has_run_a_thousand_functions_is_small():
    """A hundred million outcomes of ten seconds, in functions with long names, and as it is elsewhere."""
    worst, usual = Totals(), Totals()
    for number in range(1_000):
        name = f"{number:x>256}"
        worst.add(FuncTotal(name, 100_000_000, 100_000_000, 2e9 + 0.001, (7_692_307,) * 13))
        name = f"shop.tasks.of_{number}"
        usual.add(FuncTotal(name, 9_000, 90, 1_234.567, (0, 0, 80, 9_000, 10) + (0,) * 8))

    assert len(written(stat(by_func=worst.all()))) < 14_000
    assert len(written(stat(by_func=usual.all()))) < 2_900


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "7",
        "[]",
        "{}",
        '"cluster_id"',
        "[" * 100_000,
        json.dumps({**json.loads(written(FULL)), "now": "2026-11-23T12:00:00"}),
        json.dumps({**json.loads(written(FULL)), "now": 7}),
        json.dumps({**json.loads(written(FULL)), "workers": 7}),
        json.dumps({**json.loads(written(FULL)), "sentinel": float("inf")}),
        json.dumps({**json.loads(written(FULL)), "last_hour": [7]}),
        json.dumps({**json.loads(written(FULL)), "minutes": 7}),
        json.dumps({**json.loads(written(FULL)), "running": [{"id": "a"}]}),
        json.dumps({**json.loads(written(FULL)), "running": ["id"]}),
        json.dumps({**json.loads(written(FULL)), "by_func": 7}),
        json.dumps({**json.loads(written(FULL)), "by_func": [["shop.tasks.report", 1]]}),
        json.dumps({**json.loads(written(FULL)), "by_func": [["f", 1, 0, 1.0, 7]]}),
        json.dumps({**json.loads(written(FULL)), "restarts": 7}),
        json.dumps({**json.loads(written(FULL)), "restarts": {"death": None}}),
    ],
)
def test_what_is_no_picture_is_passed_over(board, text):
    assert read(text) is None
    show(board, FULL)
    board.put("nobody", text, 60)

    assert Stat.get_all() == [FULL]


def test_two_hosts_with_one_pid_are_two_clusters(board):
    one, two = stat(host="orion", cluster_id=1), stat(host="phoenix", cluster_id=1)
    show(board, two, one)

    assert Stat.get_all() == [one, two]


def test_a_cluster_is_found_by_its_id(board):
    show(board, stat(), stat(cluster_id=99, status="Idle"))

    assert Stat.get(99) == stat(cluster_id=99, status="Idle")


def test_of_one_id_this_host_comes_first_then_the_youngest(board):
    older, younger = stat(host=HERE), stat(host=HERE, born=BORN + timedelta(seconds=9))
    show(board, older, younger, stat(host="\uffff", born=BORN + timedelta(seconds=60)))

    assert Stat.get(1234) == younger


def test_a_cluster_that_nobody_knows_has_stopped(board):
    unknown = Stat.get(1234)

    assert (unknown.cluster_id, unknown.status, unknown.tob) == (1234, "Stopped", None)
    assert unknown.workers == ()


@pytest.mark.parametrize("backend", [LOCAL, DUMMY])
def test_where_processes_share_neither_cache_nor_queue_table_there_are_no_statistics(backend):
    caches, chosen = {"default": {"BACKEND": backend}}, {"disque_nodes": ["h:1"]}
    with override_settings(CACHES=caches, Q_CLUSTER=chosen):
        assert assembly.make_board(get_config(), "tests") is None
        assert Stat.get_all() == []
        assert Stat.get(1).status == "Stopped"


@pytest.mark.django_db
@pytest.mark.parametrize("backend", [LOCAL, DUMMY])
def test_where_processes_share_no_cache_they_are_in_a_table_beside_the_queue(backend):
    with override_settings(CACHES={"default": {"BACKEND": backend}}):
        board = assembly.make_board(get_config(), "tests")
        assert isinstance(board, DatabaseBoard)
        show(board, FULL)

        assert Stat.get_all() == [FULL]
        assert Stat.get_all(Broker("tests")) == [FULL]
        assert Stat.get_all(Broker("another")) == []
    assert Picture.objects.get().queue == "tests"


def test_the_table_is_in_the_database_of_the_queue(server_database):
    with override_settings(Q_CLUSTER={"name": "tests", "orm": server_database}):
        show(assembly.make_board(get_config(), "tests"), FULL)

        assert Stat.get_all() == [FULL]
    assert Picture.objects.using(server_database).count() == 1


@pytest.mark.django_db
def test_a_clock_that_stands_in_tells_when_a_picture_in_the_table_ends(djq_clock):
    with wired(clock=djq_clock):
        show(assembly.make_board(get_config(), "tests"), FULL)
        djq_clock.advance(59)
        before = Stat.get_all()
        djq_clock.advance(1)

        assert (before, Stat.get_all()) == ([FULL], [])


def test_statistics_of_a_queue_are_in_the_cache_that_the_settings_name(tmp_path):
    chosen = {"name": "tests", "orm": "default", "cache": "files"}
    caches = {
        "default": {"BACKEND": DUMMY},
        "files": {"BACKEND": IN_FILES, "LOCATION": str(tmp_path)},
    }
    with override_settings(CACHES=caches, Q_CLUSTER=chosen):
        board = assembly.make_board(get_config(), "tests")
        assert isinstance(board, CacheBoard)
        show(board, FULL)

        assert Stat.get_all() == [FULL]
        assert Stat.get_all(Broker("tests")) == [FULL]
        assert Stat.get_all(Broker("another")) == []


def test_an_unknown_cache_is_for_the_checks_to_say():
    with override_settings(Q_CLUSTER={"disque_nodes": ["h:1"], "cache": "no such"}):
        assert assembly.make_board(get_config(), "default") is None
    with override_settings(Q_CLUSTER={"orm": "default", "cache": "no such"}):
        assert isinstance(assembly.make_board(get_config(), "default"), DatabaseBoard)


@pytest.mark.parametrize("receipts", [True, False])
def test_statistics_of_a_queue_in_redis_are_in_redis(receipts):
    chosen = {"redis": {"host": "127.0.0.1", "port": 1, "receipts": receipts}}
    with override_settings(Q_CLUSTER=chosen):
        one, two = (assembly.board_of_this_thread() for _ in range(2))

        assert isinstance(one, RedisBoard)
        assert one is two, "one connection for a process"
        assert assembly.board_of_this_thread("another") is not one


def test_statistics_of_a_queue_on_django_redis_are_there_too():
    caches = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://h:1/0"}}
    with override_settings(CACHES=caches, Q_CLUSTER={"django_redis": "default"}):
        assert isinstance(assembly.board_of_this_thread(), RedisBoard)
    with (
        override_settings(Q_CLUSTER={"django_redis": "default"}),
        pytest.raises(ConfigError, match="django_redis"),
    ):
        Stat.get_all()


def test_where_a_broker_stands_in_nothing_is_asked_of_the_real_one():
    with wired(broker=lambda _config, name: Broker(name)):
        assert Stat.get_all() == []
