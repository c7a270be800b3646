"""What a cron expression names: five fields, read by cronsim, on a clock that never changes.

cronsim knows what Debian's cron knows, and `L`, `LW`, `5#2`, `5L`; it has no dependencies, and it
refuses what can never come (`0 0 31 2 *`) at once. croniter, which others use, would run a job of
the repeated hour twice, draws `R` by chance and finds such mistakes late. Its other spellings are
taken: `@daily` and its like, `?` for `*`. A sixth field is refused: some put seconds first, some last.

Daylight saving is not cronsim's business here: it is asked about wall times alone, and
`djq.core.recurrence` says what becomes of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
from cronsim import CronSim, CronSimError

from djq.exceptions import ScheduleRefused

CHARACTERS_MAX = 100
FIELDS = 5
SECOND = timedelta(seconds=1)
ANY_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - a wall time
NEVER = datetime(9000, 1, 1)  # noqa: DTZ001 - a wall time, long after the years in which schedules run

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@attrs.frozen
class Cron:
    """A cron expression that was read."""

    expression: str
    """As cronsim reads it."""

    every_hour: bool
    """It names minutes of every hour: then it goes by elapsed time, as hourly schedules do."""

    def at_or_after(self, wall: datetime) -> datetime:
        """The first wall time from this one on, a whole second, that it names; `NEVER` in fifty years."""
        return self.after(wall - SECOND)

    def after(self, wall: datetime) -> datetime:
        """The first wall time after this one that it names; `NEVER` if there is none in fifty years."""
        return next(iter(CronSim(self.expression, wall.replace(microsecond=0))), NEVER)


def parse_cron(text: str) -> Cron:
    """Read a cron expression.

    Raises:
        ScheduleRefused: It is none; the message says what is wrong with it.
    """
    if len(text) > CHARACTERS_MAX:
        raise ScheduleRefused(
            f"cron has {len(text)} characters; at most {CHARACTERS_MAX} are allowed"
        )
    expression = NICKNAMES.get(text.strip().lower(), text).replace("?", "*")
    fields = expression.split()
    if len(fields) != FIELDS:
        raise ScheduleRefused(
            f"cron is {text!r}, with {len(fields)} fields; it must have five: minute, hour, day of "
            "the month, month, day of the week, such as '0 3 * * *'"
        )
    try:
        read = CronSim(expression, ANY_DAY)
        comes = next(iter(read), None)
    except (CronSimError, ValueError, TypeError, AssertionError) as error:
        raise ScheduleRefused(
            f"cron is {text!r}, which cannot be read: {error}".rstrip(": ")
        ) from error
    if comes is None:
        raise ScheduleRefused(f"cron is {text!r}, which names no day of the calendar")
    return Cron(" ".join(fields), every_hour=set(range(24)) <= read.hours)
