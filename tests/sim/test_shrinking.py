"""A failing seed is made short, and tells how to play it again."""

from __future__ import annotations

import pytest

from djq_testing.sim import Case, simulate
from djq_testing.sim.shrink import invariant_of, shrink
from tests.sim.mutants import MUTANTS

pytestmark = pytest.mark.thorough


def failing(name):
    """The first seed that catches a mutant."""
    runs = (simulate(seed, MUTANTS[name], traced=False) for seed in range(100))
    return next(run for run in runs if run.failure is not None)


@pytest.fixture(scope="module")
def early():
    return shrink(failing("AcknowledgesBeforeItSaves"), MUTANTS["AcknowledgesBeforeItSaves"])


def test_acknowledging_before_the_save_is_a_story_of_few_events(early):
    words = [line[38:] for line in early.run.story]

    (number,) = early.run.numbers
    assert words == [
        f"enqueues task {number}",
        f"fetches task {number} (delivery 1)",
        f"begins task {number}",
        f"has run task {number}",
        f"acknowledges task {number} (delivery 1)",
        f"finds {early.run.failure}",
    ]
    assert invariant_of(early.run.failure) == "I6"


def test_what_was_printed_is_played_again(early):
    *_, replay = early.describe().splitlines()
    _, text, options = replay.split("'")

    run = simulate(Case.parse(text), MUTANTS["AcknowledgesBeforeItSaves"])

    assert (run.case, run.story, options) == (early.run.case, early.run.story, " --verbose")
    assert simulate(Case.parse(text)).failure is None


@pytest.mark.parametrize(
    "name", ["AcknowledgesWhatItCouldNotSave", "LosesFailures", "OutlivesItsSentinel"]
)
def test_failure_that_needs_a_fault_keeps_few_of_them(name):
    run = failing(name)

    shrunken = shrink(run, MUTANTS[name]).run

    assert invariant_of(shrunken.failure) == invariant_of(run.failure)
    assert len(shrunken.struck) <= 2 < len(run.struck)
    assert len(shrunken.numbers) <= 1 < len(run.numbers)


def test_strikes_of_a_run_are_the_run_again():
    for seed in range(8):
        run = simulate(seed)

        again = simulate(Case(seed=seed, strikes=frozenset(run.struck)))

        assert again.trace == run.trace


@pytest.mark.parametrize(
    "text",
    [
        "seed=7",
        "seed=7 clusters=2 seconds=3600 timeout=None one_unit=True",
        "seed=7 plainest lease_seconds=0.5 keep=0+3 tame=3 strikes=crash_point:12+poison:1 plain",
        "seed=-1 keep= strikes=",
    ],
)
def test_case_is_written_as_it_is_read(text):
    assert str(Case.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("clusters=1", "has no seed"),
        ("seed=1 cluster=1", "cluster: no field"),
        ("seed=1 workers=two", "'two' is no value"),
        ("seed=1 strikes=kill_cat:1", "'kill_cat' is no kind of fault"),
    ],
)
def test_case_that_is_none_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        Case.parse(text)


def test_run_that_holds_stays_as_it_is():
    run = simulate(3, traced=False)

    with pytest.raises(ValueError, match="has not failed"):
        shrink(run)
