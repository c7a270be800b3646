"""`python -m djq`: the demo and the version, for somebody who has no project yet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from djq import __version__
from djq.demo.run import run

WORKERS_MAX = 64


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for and give the exit code; without a command, say the usage."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help()
        return 0
    return run(workers=chosen.workers, keep=chosen.keep, verbose=chosen.verbose)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="python -m djq",
        description="djq, a task queue for Django. In a project, `manage.py qcluster` runs it.",
    )
    parser.add_argument("--version", action="version", version=f"djq {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="command")
    demo = commands.add_parser(
        "demo",
        help="see a cluster work, in a temporary project",
        description="Makes a temporary Django project, starts a cluster in it, lets it count Python's "
        "standard library and shows how tasks end. Exit code 0 if all ended as promised.",
    )
    demo.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="worker processes; by default one for each processor, 2 at least and 8 at most",
    )
    demo.add_argument("--keep", action="store_true", help="keep the project, and say where it is")
    demo.add_argument("--verbose", action="store_true", help="show the cluster's log as it comes")
    return parser


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= WORKERS_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of workers; write a whole number from 1 to {WORKERS_MAX}"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
