"""The name that a process shows in `ps` and `top`."""

from __future__ import annotations

import setproctitle


def set_title(role: str, name: str) -> None:
    """Show the role and the cluster's name."""
    setproctitle.setproctitle(f"djq {role} [{name}]")
