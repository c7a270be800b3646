"""`manage.py qinfo`: a summary, the settings, the ids of clusters, health (the manual, 1.10.2)."""

from __future__ import annotations

import json
import math
import socket
import sys
from argparse import ArgumentTypeError
from collections.abc import Collection
from typing import Any

import attrs
from django.core.management.base import CommandError, CommandParser

from djq import __version__, overview
from djq.conf import get_config
from djq.core.disclosure import disclosed
from djq.exceptions import ConfigError
from djq.management.program import Program
from djq.overview import Overview
from djq.runtime.threads import end_process
from djq.terminal import health, qinfo
from djq.terminal.plain import plain

TOLD, ILL, WRONG, AWAY = 0, 1, 2, 3
"""Exit codes; the command's help has the words."""

ANSWER_SECONDS = 5.0
END_SECONDS = 1.0
"""How long a library may take to end with the program."""
SUMMED = frozenset({"queue", "clusters", "results", "day", "schedules"})
ALWAYS_CHECKED = frozenset(health.CHECKS) - {"waiting"}


class Command(Program):
    """Exit code 0: all told, and well. 1: not well. 2: wrong options or settings. 3: something is away."""

    help = (
        "Shows a summary of the clusters, the queue, the results and the schedules. Exit codes: 0, all that "
        "was asked for was told, and with --health all is well; 1, with --health a check has failed; 2, the "
        "options or the settings are wrong; 3, something could not be read, and a line says why."
    )
    requires_system_checks = ()
    """A probe is not to wait for them; what is wrong with the settings is told all the same."""

    def add_arguments(self, parser: CommandParser) -> None:
        one = parser.add_mutually_exclusive_group()
        one.add_argument(
            "--config",
            action="store_true",
            help="The settings as they are used, credentials hidden.",
        )
        one.add_argument(
            "--ids", action="store_true", help="The ids of the running clusters, one a line."
        )
        one.add_argument(
            "--health",
            nargs="*",
            choices=tuple(health.CHECKS),
            metavar="CHECK",
            help=f"For probes. The checks are {', '.join(health.CHECKS)}; all of them unless some are named, "
            "waiting only with --max-waiting.",
        )
        parser.add_argument(
            "--json", action="store_true", help="As JSON, on one line unless to a terminal."
        )
        parser.add_argument(
            "--here", action="store_true", help="Of all clusters only those on this host."
        )
        parser.add_argument(
            "--timeout",
            type=_seconds,
            default=ANSWER_SECONDS,
            metavar="SECONDS",
            help=f"How long to wait for answers ({ANSWER_SECONDS:g}).",
        )
        parser.add_argument(
            "--max-age",
            type=_seconds,
            metavar="SECONDS",
            help=f"With --health: how long a task may wait ({health.MAX_AGE_SECONDS:g}).",
        )
        parser.add_argument(
            "--max-waiting",
            type=_count,
            metavar="TASKS",
            help="With --health: how many tasks may wait (any number).",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            code = self._show(options)
        except ConfigError as error:
            raise CommandError(str(error), returncode=WRONG) from error
        if self.is_program:
            end_process(code, END_SECONDS)
        if code:
            sys.exit(code)

    def _show(self, options: dict[str, Any]) -> int:
        if options["health"] is None and (options["max_age"], options["max_waiting"]) != (
            None,
            None,
        ):
            raise CommandError(
                "--max-age and --max-waiting say what is well: write --health beside them.",
                returncode=WRONG,
            )
        if options["config"]:
            return self._show_config(as_json=options["json"])
        if options["ids"]:
            return self._show_ids(options)
        if options["health"] is not None:
            return self._show_health(options)
        return self._show_summary(options)

    def _show_config(self, *, as_json: bool) -> int:
        config = get_config()
        settings = disclosed(config)
        if as_json:
            self._write_json(
                {"version": __version__, "broker": config.broker_name, "settings": settings}
            )
        else:
            self.stdout.write(f"version: {__version__!r}\nbroker: {config.broker_name!r}")
            self.stdout.write("\n".join(qinfo.setting_lines(settings)))
        return TOLD

    def _show_ids(self, options: dict[str, Any]) -> int:
        seen = self._look({"clusters"}, options)
        clusters = qinfo.running(seen)
        if clusters is None:
            self.stderr.write("\n".join(qinfo.reasons(seen.errors)))
            return AWAY
        ids = [stat.cluster_id for stat in clusters]
        if options["json"]:
            self._write_json(ids)
        else:
            self.stdout.write("".join(f"{id}\n" for id in ids), ending="")
        return TOLD

    def _show_health(self, options: dict[str, Any]) -> int:
        limits = health.Limits(age_seconds=options["max_age"], waiting=options["max_waiting"])
        asked = set(options["health"] or ALWAYS_CHECKED)
        if limits.waiting is not None:
            asked.add("waiting")
        if limits.age_seconds is not None:
            asked.add("age")
        parts = frozenset[str]().union(*(health.PARTS_OF[name] for name in asked))
        seen = self._look(parts, options)
        checks = health.checked(seen, asked, limits)
        verdict = health.verdict_of(checks)
        if options["json"]:
            told = [
                {"name": check.name, "verdict": check.verdict.value, "reason": check.reason}
                for check in checks
            ]
            self._write_json(
                {
                    "version": __version__,
                    "at": seen.at.isoformat(),
                    "verdict": verdict.value,
                    "checks": told,
                }
            )
        else:
            self.stdout.write("\n".join(map(str, checks)))
        return {health.Verdict.PASSED: TOLD, health.Verdict.FAILED: ILL}.get(verdict, AWAY)

    def _show_summary(self, options: dict[str, Any]) -> int:
        seen = self._look(SUMMED, options)
        summary = qinfo.summed(seen)
        if options["json"]:
            self._write_json(
                {"version": __version__, "summary": attrs.asdict(summary), **plain(seen)}
            )
        else:
            lines = qinfo.summary_lines(summary, aligned=self.stdout.isatty())
            why = qinfo.reasons(seen.errors)
            self.stdout.write("\n".join([*lines, "", *why] if why else lines))
        return AWAY if seen.errors else TOLD

    def _look(self, parts: Collection[str], options: dict[str, Any]) -> Overview:
        seconds = options["timeout"] if self.is_program else None
        seen = overview.take(parts=parts, seconds=seconds)
        return qinfo.at_host(seen, socket.gethostname()) if options["here"] else seen

    def _write_json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, indent=2 if self.stdout.isatty() else None))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is no whole number, 0 or more")
    return int(text)
