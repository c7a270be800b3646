"""A project of fifty schedules, and when each of them should run, by an oracle of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.core.schedule_oracle import DAY, MINUTE, step

START = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata")


def wall(zone, *when):
    return datetime(*when, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def schedules():
    """Fields of `schedule`, a name each."""
    made = {}
    for number in range(8):
        # Some of them in the hours that daylight saving leaves out, or gives twice.
        hour = (2, 1, 3, 23, 9, 2)[number % 6]
        made[f"daily {number}"] = repeated("D", number, 2026, 1, 2, hour, number * 7 % 60)
    for number in range(5):
        cron = f"{number * 5} {(8, 2, 17, 3)[number % 4]} * * 1-5"
        made[f"weekdays {number}"] = {"cron": cron, "time_zone": ZONES[number % 3]}
    for number in range(2):
        made[f"office hours {number}"] = {"cron": "0 9-10 * * 1-5", "time_zone": ZONES[number]}
    for number in range(8):
        kind = ("W", "BW", "BM", "W")[number % 4]
        made[f"now and then {number}"] = repeated(kind, number, 2026, 1, 4, 2, 30)
    for number in range(14):
        made[f"monthly {number}"] = repeated("M", number, 2026, 1, 31, 1 + number % 3, 30)
    for number in range(8):
        made[f"quarterly {number}"] = repeated("Q", number, 2026, 1, 31, 6)
    for number in range(5):
        made[f"yearly {number}"] = repeated("Y", number, 2026, 2, 28, 12)
    return made


def repeated(kind, number, *first):
    zone = ZONES[number % 4]
    return {"schedule_type": kind, "next_run": wall(zone, *first), "time_zone": zone}


def shown(moment, zone):
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def first_showing(meant, zone):
    """The first moment at which the clocks of a zone have reached a wall time."""
    offsets = {datetime(2026, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)}
    candidates = sorted(meant.replace(tzinfo=UTC) - offset for offset in offsets)
    for moment in candidates:
        if shown(moment, zone) == meant:
            return moment
    # No clock shows it that day: the first minute behind the gap.
    moment = candidates[0]
    while shown(moment, zone) < meant:
        moment += MINUTE
    return moment


def meant_times(fields, zone, until):
    """The wall times of a schedule, from its first one to a day after the end."""
    last = shown(until, zone) + DAY
    if "cron" in fields:
        minute, hours, *_ = fields["cron"].split()
        first, _, latest = hours.partition("-")
        day = datetime(2025, 12, 31)  # noqa: DTZ001 - a wall time
        while day < last:
            for hour in range(int(first), int(latest or first) + 1):
                if day.isoweekday() < 6:
                    yield day.replace(hour=hour, minute=int(minute))
            day += DAY
        return
    meant = shown(fields["next_run"], zone)
    while meant < last:
        yield meant
        meant = step(fields["schedule_type"], meant)


def expected(fields, until):
    """The moments at which a schedule should run."""
    zone = ZoneInfo(fields["time_zone"])
    moments = (first_showing(meant, zone) for meant in meant_times(fields, zone, until))
    return [moment for moment in moments if START <= moment <= until]


def all_expected(made, days):
    until = START + timedelta(days=days)
    return sorted(
        (moment, name) for name, fields in made.items() for moment in expected(fields, until)
    )
