"""A project's own tasks under faults: what is not safe to run twice is found, and its story told."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import Group

from djq.exceptions import ScheduleRefused, TaskRefused
from djq.inline import savepoints
from djq_testing.sim import Found, call, chain, explore, iterate, scheduled

pytestmark = pytest.mark.thorough

HERE = __name__
PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text("utf-8")
SHOP = {}


def opened():
    """An account with money in it."""
    SHOP.clear()
    SHOP.update(balance=100, charged=set(), ran=[], passed=[])


def charge(order, amount):
    SHOP["balance"] -= amount
    return SHOP["balance"]


def charge_once(order, amount):
    if order not in SHOP["charged"]:
        SHOP["charged"].add(order)
        SHOP["balance"] -= amount


def charge_in_two_steps(order, amount):
    if order in SHOP["charged"]:
        return
    SHOP["balance"] -= amount
    SHOP["charged"].add(order)


def note(*what, **more):
    SHOP["ran"].append((what, more))
    return what


def noted(task):
    SHOP["passed"].append(task.result)


def refuse():
    raise RuntimeError("no")


def charged(amount):
    def check(state):
        if SHOP["balance"] != 100 - amount:
            raise AssertionError(f"the account has {SHOP['balance']}")

    return check


def test_task_that_is_not_safe_to_run_twice_is_found():
    with pytest.raises(Found) as found:
        explore([call(charge, 7, 30)], setup=opened, check=charged(30))

    message = str(found.value)
    assert found.value.run.failure == "U1: the account has 40"
    assert message.count("begins task 1 charge(7, 30)") == 2
    assert len(found.value.run.story) <= 15
    (again,) = re.findall(r"seeds=\['(.*)'\]", message)
    with pytest.raises(Found, match="the account has 40"):
        explore([call(charge, 7, 30)], setup=opened, check=charged(30), seeds=[again])


def test_task_that_is_safe_to_run_twice_holds():
    explored = explore([call(charge_once, 7, 30)], setup=opened, check=charged(30), crash_inside=0)

    assert explored.runs == 100
    assert explored.faults > 500
    assert explored.seconds > 1_000


def test_task_that_is_cut_off_between_two_of_its_lines_is_found():
    calls = [call(charge_in_two_steps, 7, 30)]

    explore(calls, setup=opened, check=charged(30), crash_inside=0)
    with pytest.raises(Found, match="is cut off in the middle of its function"):
        explore(calls, setup=opened, check=charged(30))


def test_chains_iters_hooks_and_options_are_the_projects_own():
    calls = [
        chain([call(note, 1, timeout=5), note], "pair", pass_result=True),
        iterate(note, [1, (2, 3)], sort=True),
        call(note, q_options={"group": "g", "hook": noted, "task_name": "mine"}, timeout=9),
        call(refuse, max_attempts=1),
    ]

    def check(state):
        assert {t.result for t in state.tasks if t.group == "pair"} == {(1,), ((1,),)}
        (whole,) = [task for task in state.tasks if task.result == [(1,), (2, 3)]]
        assert whole.success
        (single,) = [task for task in state.tasks if task.group == "g"]
        assert (single.name, single.kwargs, single.result) == ("mine", {"timeout": 9}, ())
        assert SHOP["passed"] == [()] * len(SHOP["passed"]) != []
        (failed,) = state.tasks_of(refuse)
        assert not failed.success
        assert state.runs[f"{HERE}.note"] >= len(SHOP["ran"])

    explore(calls, setup=opened, check=check, seeds=40, crash_inside=0)


def test_calls_take_the_time_that_is_said():
    def check(state):
        (task,) = state.tasks
        assert task.result == "TaskTimedOut: timed out after 5 s"

    explore([call(note, timeout=5)], takes={note: 60}, setup=opened, check=check, seeds=range(8))


def test_schedules_of_the_project_make_tasks():
    def check(state):
        assert {what for what, _ in SHOP["ran"]} == {("a",), ("b",)}
        times = {more["when"] for _, more in SHOP["ran"] if more}
        assert len(times) >= 3

    schedules = [
        scheduled(f"{HERE}.note", "a"),
        scheduled(
            f"{HERE}.note", "b", schedule_type="I", minutes=1, intended_date_kwarg="when", repeats=3
        ),
    ]

    explore(
        [], schedules=schedules, setup=opened, check=check, seeds=10, seconds=130, crash_inside=0
    )


def test_check_may_just_say_false():
    with pytest.raises(Found, match="the check says False"):
        explore([call(note)], setup=opened, check=lambda state: not state.tasks, seeds=1)


def test_check_that_raises_is_a_failure_like_any_other():
    with pytest.raises(Found, match="the check raised ZeroDivisionError"):
        explore([call(note)], setup=opened, check=lambda state: 1 / 0, seeds=1)


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (lambda: call(note, q_options={"grup": "g"}), TaskRefused),
        (lambda: chain([note]), TaskRefused),
        (lambda: chain([note, note], on_failure="go on"), TaskRefused),
        (lambda: iterate(note, []), TaskRefused),
        (lambda: scheduled("note", cron="* * 31 2 *"), ScheduleRefused),
        (lambda: explore([note], seeds=1, cluster=2), ValueError),
        (lambda: explore([note], seeds=["7"]), ValueError),
    ],
)
def test_what_makes_no_sense_is_refused(plan, error):
    with pytest.raises(error):
        plan()


@pytest.fixture
def sample(tmp_path):
    """Makes a module of the page's sample, as a project would have it."""
    (text,) = re.findall(r"```python\n(from djq_testing.sim import .*?)```", PAGE, re.DOTALL)
    name = "sample_of_the_simulators_page"

    def make(old="", new=""):
        path = tmp_path / f"{name}.py"
        path.write_text(text.replace(old, new) if old else text, "utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield make
    sys.modules.pop(name, None)


def test_sample_of_the_page_holds(sample):
    sample().test_charging_is_safe_to_repeat()


def test_sample_of_the_page_fails_as_it_says(sample):
    broken = sample("call(charge_once, ", "call(charge, ")

    with pytest.raises(Found) as found:
        broken.test_charging_is_safe_to_repeat()

    (told,) = re.findall(r"```text\n(U1: .*?)```", PAGE, re.DOTALL)
    story = iter(str(found.value).splitlines())
    assert [line for line in told.splitlines() if line.strip() != "..." and line not in story] == []


@pytest.mark.django_db
def test_functions_may_use_the_database_of_the_test():
    def check(state):
        assert Group.objects.count() == 1
        failed = [task for task in state.tasks if not task.success]
        assert all("IntegrityError" in task.result for task in failed)

    explore(
        [call(keep_group), call(keep_group)],
        setup=Group.objects.all().delete,
        check=check,
        seeds=10,
        scope=savepoints,
    )


def keep_group():
    Group.objects.create(name="one of a kind")
