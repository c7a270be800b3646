"""`qmonitor` without a screen: a plain picture, or a line of JSON, once or again and again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import tzinfo
from typing import Protocol

from djq.overview import Overview
from djq.terminal.plain import plain
from djq.terminal.qmonitor_table import (
    COLUMNS,
    NOBODY,
    Expected,
    clock_time,
    cluster_rows,
    ended,
    plain_rows,
    summary,
    troubles,
)


class Stream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def picture(overview: Overview, expected: Expected, zone: tzinfo) -> str:
    """The clusters as a table, the queue, what has ended, what is wrong; no colours, no escape codes."""
    stats = overview.clusters or ()
    lines = [
        *plain_rows(COLUMNS, cluster_rows(overview, expected)),
        *([NOBODY] if overview.clusters == () else []),
        "",
        summary(overview),
        ended(stats),
        *troubles(overview, zone),
    ]
    return "\n".join(lines) + "\n"


def pictures(expected: Expected, zone: tzinfo) -> Callable[[Overview], str]:
    """For pictures one after another: each has its time above it, and a blank line beneath."""
    return lambda overview: (
        f"{clock_time(overview.at, zone)}\n{picture(overview, expected, zone)}\n"
    )


def json_line(overview: Overview) -> str:
    """One line of JSON: what `djq.terminal.plain` makes of an overview."""
    return json.dumps(plain(overview), separators=(",", ":")) + "\n"


def follow(
    look: Callable[[], Overview],
    render: Callable[[Overview], str],
    stream: Stream,
    pause: Callable[[], object],
) -> None:
    """Write what is seen, pause, and go on until the stream or the pause raises."""
    while True:
        write(stream, render(look()))
        pause()


def write(stream: Stream, text: str) -> None:
    """Write all of it now; what the stream's encoding does not have stands there as its escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
