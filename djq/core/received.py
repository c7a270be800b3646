"""What a broker gives for a package that it hands out, or lets be seen."""

from __future__ import annotations

from typing import Self

import attrs


class Received(tuple[str | None, str | bytes]):
    """What a broker gives: the documented pair (receipt, package), and what is known of it."""

    attempt: int | None
    """How often it was given, but for what was released unbegun. None: the broker does not count."""

    left_because: str | None = None
    """Why this cluster is to leave it in the queue, and what to do; the log has it. None: it is not."""

    def __new__(cls, receipt: str | None, package: str | bytes, attempt: int | None = None) -> Self:
        self = super().__new__(cls, (receipt, package))
        self.attempt = attempt
        return self


@attrs.frozen
class Waiting:
    """A package that waits, as `peek` shows it."""

    package: str | bytes

    seconds: float | None = None
    """How long it could have been taken, by the broker's own time. None: the broker does not know."""
