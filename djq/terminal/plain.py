"""An overview as plain values, for JSON: what `qinfo`, `qmonitor` and the admin's page give to machines.

- A part that nobody asked for has no key. One that was asked for and could not be read is None, and
  `errors` says why.
- Moments are ISO 8601 with their zone. Names that end in `_seconds` are numbers of seconds.
- Counts of outcomes are objects: `succeeded`, `failed` and their `total`; so are restarts, by their reasons.

There are no arguments and no results in it. A traceback, and the line that says why a task failed, are in
`failures` as the task left them. The names are those of the overview; others read it by them, as
`docs/qinfo.schema.json` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from djq.core.tally import Count
from djq.monitor import Restarts, Stat
from djq.overview import PARTS, Overview


def plain(overview: Overview) -> dict[str, Any]:
    """Give the overview as dicts, lists, text and numbers."""
    parts = {name: getattr(overview, name) for name in sorted(PARTS)}
    seen = {
        name: _plain(part)
        for name, part in parts.items()
        if part is not None or name in overview.errors
    }
    return {"at": _plain(overview.at), **seen, "errors": dict(overview.errors)}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Count | Restarts):
        return {**_fields(value), "total": value.total}
    if isinstance(value, Stat):
        return {**_fields(value), "uptime_seconds": value.uptime()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return _fields(value) if attrs.has(type(value)) else value


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
