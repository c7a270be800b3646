"""A module that cannot be imported: it imports one that does not exist."""

from __future__ import annotations

import a_module_that_does_not_exist  # noqa: F401


def never_reached() -> None:
    pass
