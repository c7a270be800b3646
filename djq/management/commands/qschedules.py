"""`manage.py qschedules`: lists schedules and their next runs, pauses, resumes, runs one now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from djq.exceptions import DjqError
from djq.models import Schedule
from djq.tasks import scheduling


class Command(BaseCommand):
    help = "Lists the schedules, shows their next runs, pauses, resumes or runs one now."

    def add_arguments(self, parser: CommandParser) -> None:
        """Describe the verbs."""
        verbs = parser.add_subparsers(dest="verb", metavar="{list,next,pause,resume,run}")
        verbs.add_parser("list", help="all schedules (the default)")
        following = verbs.add_parser("next", help="the next runs of one schedule, or of each")
        following.add_argument("schedule", nargs="?", help="its name or primary key")
        following.add_argument("-n", "--count", type=int, default=5, help="how many runs (5)")
        for verb, words in (
            ("pause", "make no tasks until it is resumed"),
            ("resume", "go on with the next slot; what came meanwhile was not missed"),
            ("run", "send one more task at once"),
        ):
            one = verbs.add_parser(verb, help=words)
            one.add_argument("schedule", help="its name or primary key")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do what is asked for."""
        verb = options["verb"] or "list"
        try:
            if verb == "list":
                self._list()
            elif verb == "next":
                self._next(options["schedule"], options["count"])
            else:
                self._act(verb, self._find(options["schedule"]))
        except DjqError as error:
            raise CommandError(str(error)) from error

    def _list(self) -> None:
        rows = [("ID", "NAME", "FUNCTION", "TYPE", "REPEATS", "NEXT RUN", "STATE")]
        for schedule in Schedule.objects.order_by("next_run", "id").iterator():
            state = "paused" if not schedule.enabled else "used up" if not schedule.repeats else ""
            rows.append(
                (
                    str(schedule.pk),
                    schedule.name or "-",
                    schedule.func,
                    schedule.get_schedule_type_display(),
                    str(schedule.repeats),
                    "-"
                    if schedule.next_run is None
                    else f"{schedule.next_run:%Y-%m-%d %H:%M:%S %z}",
                    schedule.last_error.splitlines()[0] if schedule.last_error else state,
                )
            )
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
        for *cells, last in rows:
            padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
            self.stdout.write("  ".join([*padded, last]).rstrip())

    def _next(self, wanted: str | None, count: int) -> None:
        chosen = Schedule.objects.order_by("next_run", "id") if wanted is None else None
        for schedule in [self._find(wanted or "")] if chosen is None else chosen.iterator():
            self.stdout.write(f"{schedule.pk} {schedule}")
            try:
                runs = schedule.upcoming(count)
            except DjqError as error:
                self.stdout.write(f"  {error}")
                continue
            for run in runs:
                self.stdout.write(f"  {run}")
            if not runs:
                self.stdout.write("  no run: it is paused, or used up")

    def _act(self, verb: str, schedule: Schedule) -> None:
        if verb == "pause":
            scheduling.pause(schedule)
            self.stdout.write(f"{schedule} is paused.")
        elif verb == "resume":
            scheduling.resume(schedule)
            self.stdout.write(f"{schedule} goes on; its next run is at {schedule.next_run}.")
        else:
            self.stdout.write(f"{schedule} was sent as task {scheduling.run_now(schedule)}.")

    def _find(self, wanted: str) -> Schedule:
        found = Schedule.objects.filter(name=wanted).first()
        if found is None and wanted.isdecimal():
            found = Schedule.objects.filter(pk=int(wanted)).first()
        if found is None:
            raise CommandError(f"There is no schedule with the name or primary key {wanted!r}.")
        return found
