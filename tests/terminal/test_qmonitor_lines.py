"""`qmonitor` without a screen."""

from __future__ import annotations

import io
import json
from datetime import UTC

import attrs
import pytest

from djq.terminal.plain import plain
from djq.terminal.qmonitor_lines import follow, json_line, picture, pictures, write
from tests.terminal.samples import EXPECTED, FULL, HOSTILE_OVERVIEW, NOTHING_YET, SHOWN


class Enough(Exception):
    """Ends what would go on for ever."""


def test_a_picture_is_the_table_and_what_belongs_to_the_queue():
    assert picture(attrs.evolve(FULL, errors={"day": "gone"}), EXPECTED, UTC).splitlines() == [
        "Host        Id  State     Pool  TQ  RQ  RC        Up",
        "Orion    17004  Working      4  23   0   0   0:01:15",
        "Phoenix  14710  Stopping     3   0  14   2  26:10:18",
        "",
        "shop at Redis 7.4   Queued 12 (3 locked)   Success 1000   Failures 2",
        "Ended: minute 11 (1 failed), hour 80 (10 failed), day 800 (100 failed)",
        "day: gone",
    ]


def test_no_clusters_are_said_and_clusters_that_could_not_be_read_are_not_none():
    assert "No cluster is seen." in picture(attrs.evolve(FULL, clusters=()), EXPECTED, UTC)
    assert "No cluster is seen." not in picture(NOTHING_YET, EXPECTED, UTC)


def test_nothing_steers_the_terminal_in_a_picture_or_a_line_of_json():
    shown = picture(HOSTILE_OVERVIEW, EXPECTED, UTC)
    line = json_line(HOSTILE_OVERVIEW)

    assert SHOWN in shown
    assert all(text.isprintable() for text in shown.splitlines())
    assert line.rstrip("\n").isprintable()


def test_a_line_of_json_is_the_overview_as_plain_values():
    line = json_line(FULL)

    assert line.count("\n") == 1
    assert json.loads(line) == plain(FULL)
    assert set(json.loads(line)) == {
        *("at", "clusters", "errors", "failures", "queue", "results"),
    }


def test_pictures_one_after_another_have_their_time_and_a_blank_line_between():
    lines = pictures(EXPECTED, UTC)(FULL).split("\n")

    assert lines[0] == "12:00:00 UTC"
    assert lines[1].startswith("Host ")
    assert lines[-2:] == ["", ""]


def test_lines_follow_one_another_with_a_pause_between():
    stream = io.StringIO()
    numbers = iter(range(10))

    def pause():
        if stream.getvalue() == "0\n1\n2\n":
            raise Enough

    with pytest.raises(Enough):
        follow(lambda: next(numbers), lambda number: f"{number}\n", stream, pause)
    assert next(numbers) == 3


def test_what_the_stream_cannot_write_stands_there_as_its_escape():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")

    write(stream, "Zürich\n")

    assert raw.getvalue() == b"Z\\xfcrich\n"
