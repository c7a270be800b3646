"""Holds how packages are parted into statements, for servers whose limits no test can change."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from djq.brokers.portions import CHARACTERS_MAX, ROWS_MAX, portions
from djq.exceptions import TaskRefused

MEBIBYTE = 1_048_576


class Server:
    """Answers what it is asked for: how long a statement may be."""

    alias = "queue"

    def __init__(self, vendor, limit=None):
        self.vendor = vendor
        self.limit = limit
        self.asked = []

    @contextmanager
    def cursor(self):
        yield self

    def execute(self, statement):
        self.asked.append(statement)

    def fetchone(self):
        return (self.limit,)


def written(tasks, key="q"):
    """How long a statement with these packages is, as a driver writes it."""
    escaped = str.maketrans({c: f"\\{c}" for c in "\0\n\r\x1a\"'\\"})
    now = "2026-11-23 19:06:00.123456"
    rows = [f"('{key}', '{task.translate(escaped)}', '{now}', 0, 0)" for task in tasks]
    into = (
        "INSERT INTO `djq_ormq` (`key`, `payload`, `available_at`, `attempts`, `unbegun`) VALUES "
    )
    return len((into + ", ".join(rows)).encode())


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql", "mysql"])
def test_small_packages_are_parted_by_their_number_and_nobody_is_asked(vendor):
    server = Server(vendor)

    parted = portions(server, "q", ["x"] * (2 * ROWS_MAX + 1))

    assert [len(portion) for portion in parted] == [ROWS_MAX, ROWS_MAX, 1]
    assert server.asked == []


def test_large_packages_are_parted_by_their_length():
    tasks = ["x" * (CHARACTERS_MAX // 2), "y" * (CHARACTERS_MAX // 2), "z"]

    assert portions(Server("postgresql"), "q", tasks) == [tasks[:2], tasks[2:]]


@pytest.mark.parametrize("letter", ["x", "'", "\\", "\n", "é", "\U0001f40d"])
@pytest.mark.parametrize("characters", [1_000, 10_000, 100_000])
def test_no_statement_is_longer_than_the_server_takes(letter, characters):
    tasks = [letter * characters] * (3 * MEBIBYTE // characters)

    parted = portions(Server("mysql", MEBIBYTE), "q", tasks)

    assert [task for portion in parted for task in portion] == tasks
    assert max(map(written, parted)) <= MEBIBYTE
    assert len(parted[0]) == ROWS_MAX or written([*parted[0], tasks[0]]) > MEBIBYTE * 0.9


def test_long_name_of_the_queue_is_measured_with_each_package():
    key = "ü" * 100
    parted = portions(Server("mysql", MEBIBYTE), key, ["x" * 3_300] * 600)

    assert max(written(portion, key) for portion in parted) <= MEBIBYTE


def test_package_that_is_too_large_alone_is_refused_before_anything_is_sent():
    with pytest.raises(TaskRefused, match=r"'queue' takes 1,048,576 in .*max_allowed_packet"):
        portions(Server("mysql", MEBIBYTE), "q", ["x", "'" * 524_200, "x" * 900_000])
