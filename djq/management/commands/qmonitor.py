"""`manage.py qmonitor`: a live table of all clusters (the manual, 1.10)."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from djq import assembly, overview
from djq.conf import get_config
from djq.core.config import Config
from djq.exceptions import ConfigError
from djq.runtime.repeating import repeating
from djq.terminal.qmonitor_lines import follow, json_line, picture, pictures, write
from djq.terminal.qmonitor_table import Expected
from djq.terminal.qmonitor_watch import Watch, let_go_of_this_thread

SECONDS_LEAST, SECONDS_MOST = 0.1, 3_600.0
SECONDS_DEFAULT_LEAST = 0.5
"""A cluster that tells of itself more often is not looked at more often, unless that is asked for."""
MISSING = (
    "The live screen needs Textual, which is not installed: pip install 'djq[monitor]'. "
    "These are plain lines."
)


class Command(BaseCommand):
    help = "Shows all clusters of the queue, live; q quits. Plain lines where there is no terminal."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--run-once", action="store_true", help="Write one plain picture, then end."
        )
        parser.add_argument(
            "--json", action="store_true", help="Write one line of JSON at each refresh."
        )
        parser.add_argument(
            "--interval",
            type=float,
            metavar="SECONDS",
            help="Time between two refreshes, 0.1 to 3600; by default that of guard_cycle, or 0.5.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Show what is asked for."""
        try:
            config = get_config()
            assembly.broker_of_this_thread()  # says what is wrong with its options
        except ConfigError as error:
            raise CommandError(str(error)) from error
        if options["no_color"]:
            os.environ["NO_COLOR"] = "1"
        self._expected = Expected(workers=config.workers, queue_limit=config.queue_limit)
        self._seconds = _seconds(options["interval"], config)
        watch = Watch(
            lambda parts: overview.take(parts=parts),
            clock=assembly.surroundings().clock,
            seconds=self._seconds,
        )
        show = None if options["run_once"] or options["json"] else self._find_screen()
        if show is None:
            self._write(watch, is_json=options["json"], once=options["run_once"])
        else:
            with repeating(watch.works(), let_go=let_go_of_this_thread):
                show(watch)

    def is_terminal(self) -> bool:
        """Whether there is a terminal to draw on, and to read keys from."""
        # Textual draws on standard error.
        streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
        drawn = all(stream is not None and stream.isatty() for stream in streams)
        return drawn and self.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def _find_screen(self) -> Callable[[Watch], None] | None:
        """What shows the live screen. None: there is no terminal, or no library for it."""
        if not self.is_terminal():
            return None
        try:
            from djq.terminal.qmonitor_app import MonitorApp, run  # noqa: PLC0415 - not everybody has it
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in {"rich", "textual"}:
                raise
            self.stderr.write(MISSING)
            return None
        zone = timezone.get_current_timezone()
        return lambda watch: run(
            MonitorApp(look=watch.look, expected=self._expected, zone=zone, seconds=self._seconds)
        )

    def _write(self, watch: Watch, *, is_json: bool, once: bool) -> None:
        zone = timezone.get_current_timezone()
        clock = assembly.callers_clock()

        def look() -> overview.Overview:
            watch.ask_due()
            return watch.look()

        try:
            if once:
                seen = look()
                write(
                    self.stdout, json_line(seen) if is_json else picture(seen, self._expected, zone)
                )
            else:
                render = json_line if is_json else pictures(self._expected, zone)
                follow(look, render, self.stdout, lambda: clock.pause(self._seconds))
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:
            # Whoever read has had enough. Python's own end is not to try to write the rest.
            if self.stdout.fileno() == sys.stdout.fileno():
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _seconds(wanted: float | None, config: Config) -> float:
    """The time between two refreshes."""
    if wanted is None:
        return min(max(config.guard_cycle, SECONDS_DEFAULT_LEAST), SECONDS_MOST)
    if not (math.isfinite(wanted) and SECONDS_LEAST <= wanted <= SECONDS_MOST):
        raise CommandError(
            f"--interval is {wanted:g}; give seconds from {SECONDS_LEAST:g} to {SECONDS_MOST:g}."
        )
    return wanted
