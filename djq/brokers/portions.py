"""How packages are parted into calls of the server, and which ones a database can never take.

MariaDB and MySQL answer a statement that is longer than `max_allowed_packet` by hanging up, which
looks like a server that is away: it would be sent again for ever. So what is large is measured there
first. Drivers put the values into the text of the statement, with a backslash before some characters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from djq.exceptions import BrokerUnavailable, TaskRefused

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

ROWS_MAX = 300
"""Most rows in one statement: old versions of SQLite take 999 parameters."""
CHARACTERS_MAX = 4_000_000
"""Most characters in one statement of several rows: more would gain nothing."""
UNMEASURED_CHARACTERS_MAX = 900_000
"""So much every server takes, as long as nobody has made its limit smaller than any default."""
STATEMENT_BYTES = 300
ROW_BYTES = 100
"""The words round the packages of a statement, and round one package beside the queue's name."""

_ESCAPED = "\0\n\r\x1a\"'\\"


def portions(connection: BaseDatabaseWrapper, key: str, tasks: Sequence[str]) -> list[list[str]]:
    """Part packages for the queue `key` into statements, in order.

    Raises:
        TaskRefused: One alone is more than the server takes; nothing was sent.
    """
    if connection.vendor != "mysql" or sum(map(len, tasks)) <= UNMEASURED_CHARACTERS_MAX:
        return list(parted(tasks, CHARACTERS_MAX, len))
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        (limit,) = cursor.fetchone()
    around = ROW_BYTES + _written_bytes(key)

    def size(task: str) -> int:
        return around + _written_bytes(task)

    for task in tasks:
        if size(task) + STATEMENT_BYTES > limit:
            raise TaskRefused(
                f"the task needs {size(task) + STATEMENT_BYTES:,} bytes in the queue; the database "
                f"{connection.alias!r} takes {limit:,} in one statement; pass a reference to the "
                "data instead (a primary key, a file name), or raise its max_allowed_packet"
            )
    return list(parted(tasks, min(CHARACTERS_MAX, limit - STATEMENT_BYTES), size))


def _written_bytes(text: str) -> int:
    return len(text.encode(errors="replace")) + sum(map(text.count, _ESCAPED))


def parted(tasks: Sequence[str], most: int, size: Callable[[str], int]) -> Iterator[list[str]]:
    portion: list[str] = []
    total = 0
    for task in tasks:
        added = size(task)
        if portion and (len(portion) == ROWS_MAX or total + added > most):
            yield portion
            portion, total = [], 0
        portion.append(task)
        total += added
    if portion:
        yield portion


def tell_sent(error: BrokerUnavailable | TaskRefused, sent: Collection[int], count: int) -> None:
    """Let the error of a batch of so many packages say which of them were surely sent before it."""
    if sent:
        error.sent = sent
        error.args = (f"{error}; {len(sent):,} of {count:,} packages were sent",)
