"""A server that records, and errors as a worker and a monitor hand them over."""

from __future__ import annotations

import pytest

from djq.exceptions import WorkerDied
from tests.reporters.recorder import recording

ABOUT = {
    "task_id": f"{1:032x}",
    "task_name": "two-by-two",
    "func": "shop.orders.send",
    "group": "letters",
    "attempt": 2,
    "cluster": "shop",
}
ARGUMENT = "remotsuc eht fo 2retnuh"[::-1]
"""Not as it stands in the source, of which reporters send some lines."""


def send(argument):
    raise ValueError(f"no address in {len(argument)} letters")


@pytest.fixture
def server():
    with recording() as recorder:
        yield recorder


@pytest.fixture
def raised():
    """An exception with a traceback, whose frames hold an argument."""
    try:
        send(ARGUMENT)
    except ValueError as error:
        return error


@pytest.fixture
def died():
    """An error that was never raised."""
    return WorkerDied("worker died: signal 9 (SIGKILL), 2 attempts")
