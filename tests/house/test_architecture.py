"""The tables on the architecture page are those that run."""

from __future__ import annotations

import pytest

from djq.core.lifecycle import TASK_TRANSITIONS, TaskEvent, TaskState
from tests.house.write_tables import COMMAND, PAGE, TABLES, markdown, with_tables


def test_page_shows_the_tables_that_run():
    page = PAGE.read_text("utf-8")

    assert page == with_tables(page), f"{PAGE.name} is stale: run {COMMAND}"


def test_page_names_the_command_that_rewrites_it():
    assert COMMAND in PAGE.read_text("utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_table_has_a_row_for_every_move(name):
    rows = markdown(TABLES[name]).splitlines()[2:]

    assert len(rows) == len(set(rows)) == len(TABLES[name])


def test_changed_machine_makes_the_page_stale():
    page = PAGE.read_text("utf-8")
    changed = {**TASK_TRANSITIONS, (TaskState.HELD, TaskEvent.OVERDUE): TaskState.QUEUED}

    assert with_tables(page, {"task": changed}) != page


def test_page_without_a_mark_is_refused():
    with pytest.raises(ValueError, match="0 blocks"):
        with_tables("# Architecture\n")
