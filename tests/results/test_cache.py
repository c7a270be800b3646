"""What the cache store does when a cache forgets, errs or is shared by several processes."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter

import pytest
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.core.management import call_command
from django.db import connections

from djq.core.call import load_value
from djq.core.joined import ElementFailed
from djq.exceptions import StoreRefused, StoreUnavailable
from djq.models import Task
from djq.results.cache import CacheStore
from djq.results.cache_log import CacheLogs
from djq.results.database import DatabaseStore
from djq.results.routed import RoutedStore
from djq_testing.clock import ManualClock
from djq_testing.contract.samples import NOON, element, finished, messages, numbers_of, task_id
from tests.brokers.orm_parts import hang_up
from tests.caches import LARGE, make_cache

pytestmark = pytest.mark.django_db
ITER = task_id(900)


def make_store(cache, clock=None):
    unsaved = DatabaseStore(alias="default", save_limit=0).unsaved
    return CacheStore(cache, clock=clock or ManualClock(NOON), unsaved=unsaved)


class CountingCache:
    """Counts the round trips to the cache behind it."""

    def __init__(self, cache):
        self._cache = cache
        self.calls = Counter()
        self.keys = 0
        """How many were asked for, or written, together."""

    def __getattr__(self, name):
        verb = getattr(self._cache, name)

        def call(*args, **kwargs):
            self.calls[name] += 1
            self.keys += len(args[0]) if name.endswith("_many") else 1
            return verb(*args, **kwargs)

        return call


@pytest.fixture
def cache(tmp_path):
    with make_cache("memory", tmp_path) as cache:
        yield cache


def keys(cache, word):
    return sorted(key[3:] for key in cache._cache if f":{word}:" in key)


# What is gone.


def test_entry_that_was_thrown_out_is_passed_over(cache):
    store = make_store(cache)
    store.save([finished(number, group="g", result=number) for number in range(5)])

    cache.delete(f"djq:task:{task_id(2)}")

    assert store.group_results("g") == [0, 1, 3, 4]
    assert store.find(task_id(2)) is None
    assert store.find("task-2") is None


@pytest.mark.parametrize("slot", [0, 5, 9])
def test_group_goes_on_when_a_part_of_its_list_was_thrown_out(cache, slot):
    store = make_store(cache)
    for number in range(10):
        store.save([finished(number, group="g")])
    name = f"djq:group:{keys(cache, 'group')[0].split(':')[2]}"

    cache.delete(f"{name}:{slot}")
    store.save([finished(10, group="g")])

    assert numbers_of(store.group_tasks("g")) == [n for n in range(11) if n != slot]


def test_list_is_lengthened_at_its_end_when_the_hint_was_thrown_out(cache):
    logs = CacheLogs(cache)
    for number in range(40):
        logs.append({"list": [(number,)]}, None, shrinks=False)
    cache.delete_many(["list:hint", "list:hint:again", "list:7"])

    logs.append({"list": [(40,)]}, None, shrinks=False)

    reading = logs.read("list")
    assert [number for (number,) in reading.chunks] == [n for n in range(41) if n != 7]
    assert (reading.position, reading.is_torn) == (41, True)


def test_iter_of_which_a_result_was_thrown_out_ends_and_says_so(cache):
    store = make_store(cache)
    store.save([element(0, 4)])
    store.save([element(1, 4)])
    cache.delete(f"djq:iter:{ITER}:0")

    # Another monitor, which has not seen what is gone.
    (gathered,) = make_store(cache).save([element(2, 4)])

    task = store.find(ITER)
    assert not task.success
    assert [isinstance(each, ElementFailed) for each in task.result] == [True, False, False, True]
    assert task.result[1:3] == [10, 20]
    assert "ResultLost" in gathered.line
    assert list(store.save([element(3, 4)])) == []


def test_iter_ends_when_a_result_was_thrown_out_after_it_was_counted(cache):
    store = make_store(cache)
    store.save([element(0, 3)])
    store.save([element(1, 3)])
    cache.delete(f"djq:iter:{ITER}:0")

    store.save([element(2, 3)])

    assert store.find(ITER).result[1:] == [10, 20]
    assert "ResultLost" in store.find(ITER).result[0]


def test_one_hint_is_enough(cache):
    store = make_store(cache)
    for number in range(40):
        store.save([finished(number, group="g", cached=60.0)])
    slots = [key for key in keys(cache, "group") if not key.rpartition(":")[0].endswith("hint")]
    name = f"djq:group:{slots[0].split(':')[2]}"
    cache.delete_many([f"{name}:{number}" for number in range(20)])
    for hint in ("hint", "hint:again"):
        kept = cache.get(f"{name}:{hint}")
        cache.delete(f"{name}:{hint}")

        assert store.group_count("g") == 20
        cache.set(f"{name}:{hint}", kept)


def test_list_does_not_grow_when_what_is_in_it_goes(cache):
    """As a label that is used every day, with results that are kept for a minute."""
    clock = ManualClock(NOON)
    store = make_store(cache, clock)
    for number in range(400):
        store.save([finished(number, group="g", cached=60.0)])
        for key in [key[3:] for key in cache._cache if ":group:" in key and ":hint" not in key][
            :-5
        ]:
            cache.delete(key)
    counting = CountingCache(cache)

    assert make_store(counting, clock).group_count("g") == 5
    assert counting.keys < 150


def test_iter_ends_when_the_cache_was_emptied(cache):
    store = make_store(cache)
    store.save([element(place, 10) for place in range(6)])
    cache.clear()

    store.save([element(place, 10) for place in range(6, 10)])

    results = store.find(ITER).result
    assert [isinstance(each, ElementFailed) for each in results] == [True] * 6 + [False] * 4


def test_counter_begins_anew_when_its_group_was_deleted(cache):
    store = make_store(cache)
    store.save([finished(number, group="g") for number in range(30)])
    count = store.group_counter("g")
    seen = [count()]
    store.group_delete("g", rows=True)
    seen.append(count())
    store.save([finished(number, group="g") for number in range(50, 52)])

    assert [*seen, count()] == [30, 0, 2]


def test_entry_of_somebody_else_is_passed_over(cache):
    store = make_store(cache)
    store.save([finished(number, group="g") for number in range(4)])
    for number, entry in enumerate(["nonsense", (), (b"no frame", True, b"", "", NOON, 0.0, 1)]):
        cache.set(f"djq:task:{task_id(number)}", entry)

    assert numbers_of(store.group_tasks("g")) == [3]
    assert [store.find(task_id(number)) is None for number in range(4)] == [True, True, True, False]
    store.save([finished(0, result="again")])
    assert store.find(task_id(0)).result == "again"


def test_iter_whose_results_are_too_large_together_is_a_failure(cache):
    store = CacheStore(
        cache, clock=ManualClock(NOON), unsaved=make_store(cache)._unsaved, results_bytes_max=5_000
    )
    batch = [element(place, 10, result=b"x" * 1_000) for place in range(10)]
    gathered = [one for finished in batch for one in store.save([finished])]

    assert [one.line for one in gathered] == [store.find(ITER).result]
    assert "max_payload" in store.find(ITER).result
    assert keys(cache, "iter") == [f"djq:iter:{ITER}:over"]


def test_nothing_of_an_iter_is_left_but_its_result(cache):
    store = make_store(cache)
    for place in range(60):
        store.save([element(place, 60)])

    assert keys(cache, "iter") == [f"djq:iter:{ITER}:over"]


# For how long.


def test_result_that_is_kept_for_a_while_leaves_its_group_when_it_is_gone(cache):
    clock = ManualClock(NOON)
    store = make_store(cache, clock)
    store.save([finished(1, group="g", cached=10.0), finished(2, group="g", cached=True)])
    count = store.group_counter("g")

    before = count()
    clock.advance(11)

    assert (before, count()) == (2, 1)


@pytest.mark.parametrize(
    ("cached", "seconds"),
    [(0.2, 1), (59.5, 60), (60.0, 60), (True, None), (1e12, None), (float(2**63), None)],
)
def test_seconds_are_rounded_up_to_whole_ones(cached, seconds):
    timeouts = []

    class RecordingCache(BaseCache):
        def get_many(self, keys, version=None):
            return {}

        def set_many(self, data, timeout=None, version=None):
            timeouts.append(timeout)

    make_store(RecordingCache({})).save([finished(cached=cached)])

    assert timeouts == [seconds]


def test_elements_stay_as_long_as_they_are_needed_however_short_the_result_does(cache):
    store = make_store(cache)
    store.save([element(0, 2, cached=0.5)])

    assert cache._expire_info[cache.make_key(f"djq:iter:{ITER}:0")] > 86_400


# Deleting.


def test_deleted_task_is_gone_from_its_group(cache):
    store = make_store(cache)
    store.save([finished(number, group="g") for number in range(3)])
    count = store.group_counter("g")
    before = count()

    assert store.delete("task-1") is True
    assert store.delete(task_id(1)) is False

    assert (before, count()) == (3, 2)
    assert numbers_of(store.group_tasks("g")) == [0, 2]
    store.save([finished(1, group="g")])
    assert count() == 3


def test_label_that_is_taken_off_leaves_the_rest_of_the_time(cache):
    clock = ManualClock(NOON)
    store = make_store(cache, clock)
    store.save([finished(1, group="g", cached=100.0)])
    before = cache._expire_info[cache.make_key(f"djq:task:{task_id(1)}")]
    clock.advance(40)

    store.group_delete("g")

    after = cache._expire_info[cache.make_key(f"djq:task:{task_id(1)}")]
    assert before - after == pytest.approx(40, abs=3)


def test_cached_task_is_stored_when_it_is_saved(cache):
    store = make_store(cache)
    store.save([finished(7, result=[1], group="g", attempt=2, place=5)])

    store.find(task_id(7)).save()
    store.find(task_id(7)).save()

    row, wanted = Task.objects.get(), store.find(task_id(7))
    for field in Task._meta.concrete_fields:
        kept = getattr(row, field.name)
        kept = bytes(kept) if isinstance(kept, memoryview) else kept
        assert kept == getattr(wanted, field.name), field.name


# Round trips.


def test_batch_costs_few_round_trips(cache):
    counting = CountingCache(cache)
    make_store(counting).save([finished(number, group="g") for number in range(400)])

    assert counting.calls == {"get_many": 4, "set_many": 2, "add": 1}


def test_counting_again_reads_only_what_is_new(cache):
    store = make_store(cache)
    for number in range(600):
        store.save([finished(number, group="g")])
    counting = CountingCache(cache)
    count = make_store(counting).group_counter("g")
    count()
    counting.calls.clear()

    assert count() == 600
    assert counting.calls == {"get_many": 2}


def test_gathering_reads_what_is_new_and_not_all_again(cache):
    counting = CountingCache(cache)
    store = make_store(counting)
    for place in range(399):
        store.save([element(place, 400)])
    trips = sum(counting.calls.values())

    assert trips / 399 < 8


# Errors.


VERBS = {
    "save": lambda store: store.save([finished(1)]),
    "gather": lambda store: store.save([element(0, 2)]),
    "find": lambda store: store.find(task_id(1)),
    "kept": lambda store: store.kept(messages(1)),
    "delete": lambda store: store.delete(task_id(1)),
    "group_tasks": lambda store: store.group_tasks("g"),
    "group_results": lambda store: store.group_results("g"),
    "group_count": lambda store: store.group_count("g"),
    "group_delete": lambda store: store.group_delete("g"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_cache_that_is_away_is_unavailable(verb):
    cache = RedisCache("redis://127.0.0.1:1", {})

    with pytest.raises(StoreUnavailable, match=r"the cache .* did not serve the results"):
        VERBS[verb](make_store(cache))


class ResettingCache(LocMemCache):
    """Loses the connection as often as it is told, when it is to write."""

    resets = 0

    def set_many(self, data, timeout=None, version=None):
        self._lose()
        return super().set_many(data, timeout, version)

    def add(self, key, value, timeout=None, version=None):
        self._lose()
        return super().add(key, value, timeout, version)

    def _lose(self):
        if self.resets:
            self.resets -= 1
            raise ConnectionResetError


@pytest.mark.parametrize("what", ["task", "element"])
def test_large_result_is_not_refused_for_a_passing_fault(what):
    cache = ResettingCache(what, LARGE)
    store = make_store(cache)
    large = {"result": b"x" * 600_000}
    one = finished(900, **large) if what == "task" else element(0, 1, **large)
    cache.resets = 2

    store.save([one])

    assert store.find(ITER).success
    cache.clear()


def test_success_that_comes_in_between_is_not_overwritten(cache):
    class InBetween(CountingCache):
        def get_many(self, keys):
            answer = self._cache.get_many(keys)
            if not self.calls["between"]:
                self.calls["between"] += 1
                make_store(self._cache).save([finished(result="first")])
            return answer

    make_store(InBetween(cache)).save([finished(success=False, result="late")])

    assert make_store(cache).find(task_id(1)).result == "first"


def test_connection_that_the_server_ended_is_replaced(database_cache, postgres):
    store = make_store(database_cache)
    store.save([finished(1)])
    hang_up(postgres)

    with pytest.raises(StoreUnavailable):
        store.save([finished(2)])
    store.save([finished(2)])

    assert set(store.kept(messages(1, 2))) == {task_id(1), task_id(2)}


def test_database_cache_that_fails_is_unavailable_though_it_says_nothing(tmp_path):
    class SilentCache(DatabaseCache):
        """As Django's own when its database refuses a row: no error, and no entry."""

        def _base_set(self, mode, key, value, timeout):
            return False

    with make_cache("database", tmp_path):
        store = make_store(SilentCache("djq_test_cache", LARGE))
        with pytest.raises(StoreUnavailable, match="did not take"):
            store.save([finished(1)])
        with pytest.raises(StoreUnavailable, match="did not take"):
            store.save([element(0, 2)])


def test_result_that_is_too_large_for_the_cache_is_refused(tmp_path):
    large = b"x" * 2_000_000
    with make_cache("memcached", tmp_path) as cache:
        store = make_store(cache)
        with pytest.raises(StoreRefused, match="return less"):
            store.save([finished(1), finished(2, result=large)])
        with pytest.raises(StoreRefused, match="return less"):
            store.save([element(0, 2, result=large)])

        store.save([element(place, 4, result=b"x" * 400_000) for place in range(4)])

        assert "StoreRefused" in store.find(ITER).result


# To both places.


def test_each_outcome_goes_where_its_task_says(cache):
    database = DatabaseStore(alias="default", save_limit=0)
    both = RoutedStore(database=database, cache=make_store(cache))
    cached = [finished(number, cached=True) for number in (1, 2)]
    stored = [finished(number) for number in (3, 4)]

    gathered = both.save(
        [cached[0], *stored, cached[1], element(0, 1), element(0, 1, of=7, cached=60.0)]
    )

    assert {int(one.finished.message.id, 16) for one in gathered} == {900, 7}
    assert {int(id, 16) for id in Task.objects.values_list("id", flat=True)} == {3, 4, 900}
    assert [make_store(cache).find(task_id(n)) is not None for n in (1, 2, 3, 7, 900)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    kept = both.kept([one.message for one in (*cached, *stored, finished(5))])
    assert {int(id, 16) for id in kept} == {1, 2, 3, 4}
    assert [both.present(one)._state.adding for one in (*cached, *stored)] == [
        True,
        True,
        False,
        False,
    ]


def test_what_was_undone_with_a_unit_was_not_seen(cache):
    """A cache in the store's own database loses with its transaction what was put into a list."""
    both = RoutedStore(
        database=DatabaseStore(alias="default", save_limit=0), cache=make_store(cache)
    )
    first, second = element(0, 2, cached=True), element(1, 2, cached=True)

    def fail():
        with both.unit():
            both.save([first])
            cache.clear()
            raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        fail()
    make_store(cache).save([second])

    (gathered,) = both.save([first])
    assert load_value(gathered.finished.outcome.value) == [0, 10]


# Several processes.

PROCESSES = 4
EACH = 60
SECONDS_MAX = 60
ITERS = 12


def in_processes(folder, function, cache):
    """Run a function in several processes at once; what each of them reported."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PROCESSES)
    reports = [folder / f"{number}.json" for number in range(PROCESSES)]
    connections.close_all()
    children = [
        context.Process(target=function, args=(cache, number, barrier, report))
        for number, report in enumerate(reports)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(SECONDS_MAX)
    assert [child.exitcode for child in children] == [0] * PROCESSES
    return [json.loads(report.read_text()) for report in reports]


def join_a_group(cache, number, barrier, report):
    store = make_store(cache)
    barrier.wait()
    for one in range(number * EACH, (number + 1) * EACH, 3):
        store.save([finished(each, group="g") for each in range(one, one + 3)])
    connections.close_all()
    report.write_text("[]")


def gather_iters(cache, number, barrier, report):
    """Keep every fourth element of each iter, the last ones of all iters at the same moments."""
    store = make_store(cache)
    complete = []
    for of in range(ITERS):
        barrier.wait()
        for place in range(number, 2 * PROCESSES, PROCESSES):
            batch = [element(place, 2 * PROCESSES, of=of)]
            complete += [int(one.finished.message.id, 16) for one in store.save(batch)]
    connections.close_all()
    report.write_text(json.dumps(complete))


@pytest.fixture(params=["files", "redis", "django-redis", "memcached"])
def shared_cache(request, tmp_path):
    with make_cache(request.param, tmp_path / "cache") as cache:
        yield cache


class PostgresRouter:
    """Puts the cache's table into PostgreSQL, where several processes can write it."""

    def db_for_read(self, model, **_hints):
        return "postgres" if model._meta.app_label == "django_cache" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **_hints):
        return db == "postgres" if app_label == "django_cache" else None


@pytest.fixture
def database_cache(settings, postgres):
    settings.DATABASE_ROUTERS = [f"{__name__}.PostgresRouter"]
    call_command("createcachetable", "djq_test_cache", database=postgres, verbosity=0)
    yield DatabaseCache("djq_test_cache", LARGE)
    with connections[postgres].cursor() as cursor:
        cursor.execute("DROP TABLE djq_test_cache")


def assert_no_member_is_lost(cache, folder):
    in_processes(folder, join_a_group, cache)

    members = [one.message.id for one in make_store(cache)._group("g", failures=True)]
    assert members == [task_id(number) for number in range(PROCESSES * EACH)]
    assert make_store(cache).group_count("g") == PROCESSES * EACH


def assert_every_iter_is_complete(cache, folder):
    complete = in_processes(folder, gather_iters, cache)

    assert {number for share in complete for number in share} == set(range(ITERS))
    kept = make_store(cache).kept(messages(*range(ITERS)))
    results = [load_value(kept[task_id(of)].outcome.value) for of in range(ITERS)]
    assert results == [[place * 10 for place in range(2 * PROCESSES)]] * ITERS


def test_no_member_is_lost_when_processes_join_at_once(shared_cache, tmp_path):
    assert_no_member_is_lost(shared_cache, tmp_path)


def test_no_member_is_lost_in_a_database_cache(database_cache, tmp_path):
    assert_no_member_is_lost(database_cache, tmp_path)


def test_every_iter_is_complete_when_processes_gather_at_once(shared_cache, tmp_path):
    assert_every_iter_is_complete(shared_cache, tmp_path)


def test_every_iter_is_complete_in_a_database_cache(database_cache, tmp_path):
    assert_every_iter_is_complete(database_cache, tmp_path)
