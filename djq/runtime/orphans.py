"""Processes whose sentinel died: remembered while they finish, ended when the cluster has stopped."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil

END_SECONDS_MAX = 2
"""How long to wait for the kernel to end what was killed."""


class ProcessOrphans:
    """Knows a process by its pid and its birth, so that a number given anew is never taken for it."""

    fate = "processes of a sentinel that died were still at work, and were ended"

    def __init__(self) -> None:
        self._processes: list[psutil.Process] = []

    def adopt(self, pids: Sequence[int]) -> None:
        for pid in pids:
            try:
                if os.getpgid(pid) == os.getpgrp():
                    self._processes.append(psutil.Process(pid))
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue

    def end(self) -> int:
        living = [process for process in self._processes if _is_alive(process)]
        for process in living:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(living, timeout=END_SECONDS_MAX)
        self._processes.clear()
        return len(living)


def _is_alive(process: psutil.Process) -> bool:
    """Whether it can still be at work: one that has ended may wait long to be collected."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
