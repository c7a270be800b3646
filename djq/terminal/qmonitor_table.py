"""What `qmonitor` shows of an overview: rows, lines and colours, for the screen and for plain lines.

Time comes from the overview and its pictures alone. All text that others chose is made safe here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

import attrs

from djq.monitor import Count, Running, Stat
from djq.overview import Failed, Overview, QueueNow
from djq.terminal.visible import shortened, visible

GREEN, YELLOW, RED, CYAN, PLAIN = "green", "yellow", "red", "cyan", ""
"""Colours of a terminal, by the names that it has for them."""

COLUMNS = ("Host", "Id", "State", "Pool", "TQ", "RQ", "RC", "Up")
"""As the manual has them (1.10)."""
WORKER_COLUMNS = ("Worker", "Task", "Function", "Attempt", "For")
FAILURE_COLUMNS = ("Stopped", "Task", "Error", "Function", "Attempts")

STATE_COLOURS: Mapping[str, str] = {"Working": GREEN, "Stopping": YELLOW, "Stopped": RED}
"""The others are plain."""

BARS = "▁▂▃▄▅▆▇█"
MINUTES = 60
ERROR_WIDTH = 60
"""Characters of an error in a table; all of it stands above its traceback."""
UNKNOWN = "?"
NOBODY = "No cluster is seen."


@attrs.frozen
class Cell:
    """One cell of a table."""

    text: str
    colour: str = PLAIN
    is_number: bool = False
    """Numbers stand at the right of their column."""


@attrs.frozen
class Row:
    """One row, and what it is known by from one look to the next."""

    key: str
    cells: tuple[Cell, ...]


@attrs.frozen(kw_only=True)
class Expected:
    """What the settings of this process say of a cluster."""

    workers: int
    """A pool with less stands out."""
    queue_limit: int | None
    """A task queue that has reached it stands out. None: twice the workers of its cluster."""


def key_of(stat: Stat) -> str:
    """What a cluster is known by: hosts may have clusters with one number, now or one after another."""
    return f"{stat.host} {stat.cluster_id} {stat.tob}"


def cluster_rows(
    overview: Overview, expected: Expected, host_width: int | None = None
) -> list[Row]:
    """A row for each cluster; hosts are shortened to so many characters. None: they are not."""
    return [_cluster_row(stat, expected, host_width) for stat in overview.clusters or ()]


def _cluster_row(stat: Stat, expected: Expected, host_width: int | None) -> Row:
    host = visible(stat.host)
    limit = expected.queue_limit or 2 * max(len(stat.workers), 1)
    queued = GREEN if stat.task_q_size >= limit else CYAN if stat.task_q_size else PLAIN
    cells = (
        Cell(host if host_width is None else shortened(host, host_width)),
        _number(stat.cluster_id),
        Cell(visible(stat.status), STATE_COLOURS.get(stat.status, PLAIN)),
        _number(len(stat.workers), YELLOW if len(stat.workers) < expected.workers else PLAIN),
        _number(stat.task_q_size, queued),
        _number(stat.done_q_size, CYAN if stat.done_q_size else PLAIN),
        _number(stat.reincarnations),
        Cell(duration(stat.uptime()), is_number=True),
    )
    return Row(key_of(stat), cells)


def worker_rows(stat: Stat) -> list[Row]:
    """A row for each task that runs, and one for each worker that has none."""
    running = [Row(f"{task.worker} {task.id}", _running(stat, task)) for task in stat.running]
    busy = {task.worker for task in stat.running}
    idle = [
        Row(str(pid), (_number(pid), Cell("-"), Cell("-"), Cell(""), Cell("")))
        for pid in stat.workers
        if pid not in busy
    ]
    return running + idle


def _running(stat: Stat, task: Running) -> tuple[Cell, ...]:
    # By the clock of the cluster's host, which has told both moments.
    seconds = (stat.now - task.since).total_seconds()
    return (
        _number(task.worker),
        Cell(visible(task.name)),
        Cell(visible(task.func)),
        _number(task.attempt, YELLOW if task.attempt > 1 else PLAIN),
        Cell(duration(seconds), is_number=True),
    )


def failure_rows(overview: Overview, zone: tzinfo) -> list[Row]:
    """A row for each of the last failures, the newest first; moments in this zone."""
    return [
        Row(
            failed.id,
            (
                Cell(f"{failed.stopped.astimezone(zone):%m-%d %H:%M:%S}"),
                Cell(visible(failed.name)),
                Cell(_cut(error_of(failed)), RED),
                Cell(visible(failed.func)),
                _number(failed.attempts),
            ),
        )
        for failed in overview.failures or ()
    ]


def error_of(failed: Failed) -> str:
    """One line that says what went wrong: the first of the reason, else the last of the traceback."""
    lines = failed.reason.strip().splitlines()[:1] or failed.traceback.strip().splitlines()[-1:]
    return visible(lines[0].strip()) if lines else "-"


def _cut(error: str) -> str:
    return error if len(error) <= ERROR_WIDTH else f"{error[: ERROR_WIDTH - 1]}…"


def summary(overview: Overview) -> str:
    """The queue, and what is kept."""
    queue, kept = overview.queue, overview.results
    place = UNKNOWN if queue is None else f"{queue.name} at {queue.broker}"
    successes, failures = (
        (UNKNOWN, UNKNOWN) if kept is None else (str(kept.successes), str(kept.failures))
    )
    return f"{visible(place)}   Queued {_queued(queue)}   Success {successes}   Failures {failures}"


def _queued(queue: QueueNow | None) -> str:
    if queue is None:
        return UNKNOWN
    return f"{queue.size} ({queue.locked} locked)" if queue.locked else str(queue.size)


def ended(stats: Iterable[Stat]) -> str:
    """How many tasks these clusters have ended."""
    known = list(stats)
    spans = {
        "minute": [stat.last_minute for stat in known],
        "hour": [stat.last_hour for stat in known],
        "day": [stat.last_day for stat in known],
    }
    return "Ended: " + ", ".join(f"{name} {_count(counts)}" for name, counts in spans.items())


def _count(counts: Iterable[Count]) -> str:
    total = sum(counts, Count())
    return f"{total.total} ({total.failed} failed)" if total.failed else str(total.total)


def bars(stats: Iterable[Stat]) -> str:
    """The last hour minute by minute, the oldest first: 60 bars from zero up, and what the highest is.

    A minute without an end is a blank; one with the least is seen.
    """
    totals = [0] * MINUTES
    for stat in stats:
        for place, count in enumerate(reversed(stat.minutes[-MINUTES:])):
            totals[MINUTES - 1 - place] += count.total
    peak = max(totals)
    drawn = "".join(BARS[-(-each * len(BARS) // peak) - 1] if each else " " for each in totals)
    return f"{drawn}  peak {peak}/min" if peak else f"{'':{MINUTES}}  peak 0/min"


def facts(stat: Stat) -> list[str]:
    """A cluster's own lines."""
    pids = {"sentinel": stat.sentinel, "pusher": stat.pusher, "monitor": stat.monitor}
    told = "  ".join(f"{name} {'-' if pid is None else pid}" for name, pid in pids.items())
    counts = f"TQ {stat.task_q_size}  RQ {stat.done_q_size}  RC {stat.reincarnations}"
    return [
        f"{visible(stat.host)} {stat.cluster_id}  {visible(stat.status)}  up {duration(stat.uptime())}",
        f"Pool {len(stat.workers)}  {counts}  {told}",
        ended([stat]),
    ]


def troubles(overview: Overview, zone: tzinfo) -> list[str]:
    """What could not be read, and which services a cluster does not reach."""
    lines = [visible(f"{part}: {error}") for part, error in sorted(overview.errors.items())]
    for stat in overview.clusters or ():
        for name, since in (("broker", stat.broker_away_since), ("store", stat.store_away_since)):
            if since is not None:
                where = f"{stat.host} {stat.cluster_id}: its {name} has not answered"
                lines.append(visible(f"{where} since {clock_time(since, zone)}"))
    return lines


def plain_rows(columns: Sequence[str], rows: Iterable[Row]) -> list[str]:
    """A table of plain text: each column as wide as its longest cell, without blanks at the end."""
    lines = [tuple(Cell(name) for name in columns), *(row.cells for row in rows)]
    widths = [max(len(line[place].text) for line in lines) for place in range(len(columns))]
    # A heading stands as its column does.
    right = [all(line[place].is_number for line in lines[1:]) for place in range(len(columns))]
    return [
        "  ".join(
            cell.text.rjust(width) if at_right else cell.text.ljust(width)
            for cell, width, at_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as the manual has them: 0:01:15. What is below nothing is nothing."""
    minutes, left = divmod(int(max(seconds, 0)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"


def clock_time(moment: datetime, zone: tzinfo) -> str:
    """The time of day, with the name of the zone."""
    return f"{moment.astimezone(zone):%H:%M:%S %Z}"


def silence(seconds: float) -> str:
    """Why a part is not there whose answer does not come."""
    return f"no answer for {timedelta(seconds=int(seconds))}"


def _number(number: int, colour: str = PLAIN) -> Cell:
    return Cell(str(number), colour, is_number=True)
