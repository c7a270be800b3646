"""Replays a seed, or plays a range of them: `python -m djq_testing.sim --seed 7 --verbose`."""

from __future__ import annotations

import argparse
import sys

from djq_testing.sim.simulator import simulate


def main(arguments: list[str] | None = None) -> int:
    """Play what the command line asks for: 0 when every invariant held."""
    parser = argparse.ArgumentParser(prog="python -m djq_testing.sim", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="play one seed")
    what.add_argument("--seeds", metavar="FIRST-LAST", help="play all from FIRST to LAST")
    parser.add_argument("--verbose", action="store_true", help="print the trace")
    options = parser.parse_args(arguments)
    seeds = (
        range(options.seed, options.seed + 1) if options.seeds is None else _range(options.seeds)
    )
    failed = 0
    for seed in seeds:
        run = simulate(seed, traced=options.verbose)
        failed += run.failure is not None
        if run.failure is not None or len(seeds) == 1:
            lines = run.trace if options.verbose else []
            sys.stdout.write("\n".join([run.describe(), *lines, ""]))
    if len(seeds) > 1:
        sys.stdout.write(f"{len(seeds)} seeds, {failed} failed\n")
    return 1 if failed else 0


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
