"""Writes the state tables of docs/architecture.md from the machines in djq.core.lifecycle."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from typing import Any

from djq.core.lifecycle import CHILD_TRANSITIONS, CLUSTER_TRANSITIONS, TASK_TRANSITIONS
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "architecture.md"
COMMAND = "python -m tests.house.write_tables"

TABLES: Mapping[str, Mapping[Any, Any]] = {
    "child": CHILD_TRANSITIONS,
    "task": TASK_TRANSITIONS,
    "cluster": CLUSTER_TRANSITIONS,
}


def with_tables(page: str, tables: Mapping[str, Mapping[Any, Any]] = TABLES) -> str:
    """Give the page with what stands between each pair of table marks written anew."""
    for name, table in tables.items():
        start, end = f"<!-- table: {name} -->", "<!-- end of table -->"
        block = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        written = f"{start}\n\n{markdown(table)}\n\n{end}"
        page, count = block.subn(lambda _, text=written: text, page)
        if count != 1:
            raise ValueError(f"{PAGE.name} has {count} blocks {start!r}, one is needed")
    return page


def markdown(table: Mapping[Any, Any]) -> str:
    """A row a move; a machine with orders has a column more."""
    moves = [(*pair, *answer_of(answer)) for pair, answer in table.items()]
    has_orders = any(isinstance(answer, tuple) for answer in table.values())
    head = ["state", "event", "next state", *(["orders"] if has_orders else [])]
    rows = [
        [words(state), words(event), words(following), *([words(*orders)] if has_orders else [])]
        for state, event, following, orders in moves
    ]
    return "\n".join(line(cells) for cells in [head, ["---"] * len(head), *rows])


def answer_of(answer: Any) -> tuple[enum.Enum, tuple[enum.Enum, ...]]:
    return answer if isinstance(answer, tuple) else (answer, ())


def words(*members: enum.Enum) -> str:
    return ", ".join(str(member.value) for member in members)


def line(cells: Iterable[str]) -> str:
    return " | ".join(["", *cells, ""]).strip()


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
