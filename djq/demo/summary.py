"""The words of the summary: what ran, how fast, how the failures look, and what to try next."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import attrs

from djq.demo.screen import COLUMNS_MAX, Screen
from djq.demo.verdict import Ended, Promise, complaint_about
from djq.demo.work import HOOKED, Count

BIGGEST = 5
COMPLAINTS_SHOWN_MAX = 10

NEXT_STEPS = (
    ("settings.py", 'INSTALLED_APPS += ["djq"]'),
    ("", 'Q_CLUSTER = {"name": "myproject", "orm": "default"}'),
    ("your code", "from djq.tasks import async_task"),
    ("", 'async_task("math.copysign", 2, -2)'),
    ("a shell", "python manage.py migrate && python manage.py qcluster"),
)


@attrs.frozen(kw_only=True)
class Figures:
    """What the summary tells beside the outcomes."""

    python: str
    """Version of Python, whose library was counted."""

    workers: str
    """How many worker processes, in words."""

    tasks: int
    """Tasks queued."""

    cluster_seconds: float
    """From the start of the cluster to its last outcome."""

    stop_seconds: float
    """From the request to stop to the cluster's end."""


def what_ran(screen: Screen, figures: Figures, counts: Mapping[str, Count | None]) -> list[str]:
    """Say what ran, how fast, and what was counted; `counts` is by module name."""
    known = {name: count for name, count in counts.items() if count is not None}
    skipped = len(counts) - len(known)
    rate = figures.tasks / figures.cluster_seconds
    ran = f"{figures.tasks:,} tasks in {figures.cluster_seconds:.1f} s on {figures.workers}"
    return [
        "",
        screen.title(f"What ran: {ran}"),
        f"  {rate:,.0f} a second, the start of the cluster included.",
        "",
        screen.title(f"What it counted: the standard library of Python {figures.python}"),
        _total(known),
        *([f"  {skipped} more files were not counted."] if skipped else []),
        "",
        *_biggest(screen, known),
    ]


def how_examples_ended(
    screen: Screen, examples: Sequence[tuple[Promise, Ended | None]], hook_notes: Sequence[str]
) -> list[str]:
    """Say how each instructive task ended, with the words of its row."""
    lines = [
        "",
        screen.title("How a task can end, and the result that its row in the database has"),
    ]
    for promise, ended in examples:
        mark = screen.mark(good=complaint_about(promise, ended) is None)
        outcome = "missing" if ended is None else "success" if ended.success else "failure"
        lines.append(f"  {mark} {promise.name:<27} {outcome}")
        said = [] if ended is None else [str(ended.result)]
        if promise.name == HOOKED:
            said += [f"the hook wrote: {note}" for note in hook_notes]
        lines += [line for text in said for line in _wrapped(text)]
    return lines


def how_it_ended(screen: Screen, figures: Figures, complaints: Sequence[str]) -> list[str]:
    """Say whether all was as promised, and else what was not."""
    if not complaints:
        return [
            "",
            screen.verdict("All as promised.", good=True)
            + " Each task ended once, and each as it had to; one process that",
            f"counted again came to the same numbers. The cluster stopped in {figures.stop_seconds:.1f} s,",
            "with exit code 0, and left no process behind.",
        ]
    lines = ["", screen.verdict("NOT as promised:", good=False)]
    for complaint in complaints[:COMPLAINTS_SHOWN_MAX]:
        lines += _wrapped(complaint, first="  - ", rest="    ")
    more = len(complaints) - COMPLAINTS_SHOWN_MAX
    return [*lines, *([f"  and {more} more"] if more > 0 else [])]


def what_next(screen: Screen) -> list[str]:
    """Say what to put into a project of one's own."""
    return [
        "",
        screen.title("Your turn, in a project of your own"),
        *(f"  {screen.quiet(f'{where:<12}')} {words}" for where, words in NEXT_STEPS),
    ]


def _total(counts: Mapping[str, Count]) -> str:
    lines = sum(count.lines for count in counts.values())
    functions = sum(count.functions for count in counts.values())
    classes = sum(count.classes for count in counts.values())
    return (
        f"  {len(counts):,} modules   {lines:,} lines   {functions:,} functions   "
        f"{classes:,} classes"
    )


def _biggest(screen: Screen, counts: Mapping[str, Count]) -> list[str]:
    biggest = sorted(counts.items(), key=lambda item: (-item[1].lines, item[0]))[:BIGGEST]
    return [
        screen.quiet(f"  {'the biggest':<30}{'lines':>10}{'functions':>12}{'classes':>10}"),
        *(
            f"  {name:<30}{count.lines:>10,}{count.functions:>12,}{count.classes:>10,}"
            for name, count in biggest
        ),
    ]


def _wrapped(text: str, first: str = "      ", rest: str = "      ") -> list[str]:
    return textwrap.wrap(
        text, COLUMNS_MAX - 1, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
