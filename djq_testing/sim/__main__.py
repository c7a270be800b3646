"""Replays a seed, or plays a range of them: `python -m djq_testing.sim --seed 7 --verbose`."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs

from djq_testing.sim.case import Case, read_value
from djq_testing.sim.shrink import shrink
from djq_testing.sim.simulator import Run, simulate

CHUNK = 25


@attrs.define
class Tally:
    """What came of many runs."""

    runs: int = 0
    failed: int = 0
    seconds: float = 0.0
    hits: Counter[str] = attrs.Factory(Counter)
    faults: int = 0
    digest: Any = attrs.field(factory=hashlib.sha256, repr=False)
    """Of all traces, in order."""

    def add(self, run: Run) -> None:
        """Count one."""
        self.runs += 1
        self.failed += run.failure is not None
        self.seconds += run.seconds
        self.hits.update(run.hits)
        self.faults += run.faults
        self.digest.update("\n".join(run.trace).encode())

    def describe(self) -> str:
        """All of it in a few lines."""
        mean = self.faults / max(self.runs, 1)
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.hits.items()))
        return "\n".join(
            (
                f"{self.runs} seeds, {self.failed} failed",
                f"{self.seconds:.0f} simulated seconds",
                f"{self.faults} faults struck, {mean:.1f} a seed",
                f"what struck, and what it brought about: {kinds or 'nothing'}",
            )
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what the command line asks for: 0 when every invariant held."""
    options = _parser().parse_args(arguments)
    try:
        cases = list(_cases(options))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if len(cases) == 1 and not options.digest:
        return _play_one(cases[0], traced=options.verbose, shrinks=options.shrink)
    tally = Tally()
    for run in _play_many(cases, options.jobs, traced=options.verbose or options.digest):
        tally.add(run)
        if run.failure is not None:
            lines = run.trace if options.verbose else []
            sys.stdout.write("\n".join([run.describe(), *lines, "", ""]))
            sys.stdout.flush()
    sys.stdout.write(f"{tally.describe()}\n")
    if options.digest:
        sys.stdout.write(f"digest of the traces: {tally.digest.hexdigest()}\n")
    return 1 if tally.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m djq_testing.sim", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="play one seed")
    what.add_argument("--seeds", metavar="FIRST-LAST", help="play all from FIRST to LAST")
    what.add_argument("--case", metavar="TEXT", help="play what another run printed")
    parser.add_argument("--clusters", type=int, help="clusters on the one queue")
    parser.add_argument("--workers", type=int, help="workers of each")
    parser.add_argument("--tasks", type=int, help="tasks that are enqueued")
    parser.add_argument("--seconds", type=float, help="simulated seconds in which faults strike")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any field of the scene or of the fault plan, as it is printed first",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to play in")
    parser.add_argument("--shrink", action="store_true", help="find a short run that fails too")
    parser.add_argument("--verbose", action="store_true", help="print the trace")
    parser.add_argument(
        "--digest",
        action="store_true",
        help="print one hash of all traces: is it the same elsewhere?",
    )
    return parser


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    """What is to be played.

    Raises:
        ValueError: The command line names a field or a value that there is not.
    """
    given = {name: getattr(options, name) for name in ("clusters", "workers", "tasks", "seconds")}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for word in options.set:
        name, _, value = word.partition("=")
        changes[name] = read_value(value)
    if options.case is not None:
        case = Case.parse(options.case)
        yield attrs.evolve(case, changes={**case.changes, **changes})
        return
    for seed in [options.seed] if options.seeds is None else _range(options.seeds):
        yield Case(seed=seed, changes=changes)


def _play_one(case: Case, *, traced: bool, shrinks: bool) -> int:
    run = simulate(case, traced=traced)
    lines = [run.describe(), *(run.trace if traced else [])]
    if shrinks and run.failure is not None:
        lines += ["", shrink(run).describe()]
    sys.stdout.write("\n".join([*lines, ""]))
    return 0 if run.failure is None else 1


def _play_many(cases: Sequence[Case], jobs: int, *, traced: bool) -> Iterable[Run]:
    """Play them, in several processes at a time; what comes of them comes in order."""
    play = partial(simulate, traced=traced)
    if jobs == 1 or len(cases) <= CHUNK:
        yield from map(play, cases)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(play, cases, chunksize=CHUNK)


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
