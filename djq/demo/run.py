"""Sets the stage for the demo and clears it away again, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import django
from django.db import connections

from djq.demo.project import Project
from djq.demo.screen import Screen
from djq.demo.work import ATTEMPTS_MAX

WORKERS_DEFAULT_MIN = 2  # so that the work goes on beside a task that hangs
WORKERS_DEFAULT_MAX = 8

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

AS_PROMISED, NOT_AS_PROMISED, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130


def run(*, workers: int | None, keep: bool, verbose: bool) -> int:
    """Run the demo and give its exit code: 0 only if every outcome was exactly the promised one.

    It configures Django for its own project, so it is for a process that has done nothing else.
    """
    if not hasattr(os, "fork"):
        sys.stderr.write(
            "The demo needs fork, which this platform has not: run it on Linux or another Unix.\n"
        )
        return CANNOT_RUN
    workers = default_workers() if workers is None else workers
    try:
        with _stop_signals_interrupt():
            return _run_in_project(Screen(sys.stdout, os.environ), workers, keep, verbose)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped before its end. Nothing of the demo runs any more.\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on (`| head`); Python would complain once more when it flushes at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_AS_PROMISED


def default_workers() -> int:
    """As many workers as there are processors for this process, within bounds."""
    has_affinity = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(WORKERS_DEFAULT_MIN, min(WORKERS_DEFAULT_MAX, processors))


def _run_in_project(screen: Screen, workers: int, keep: bool, verbose: bool) -> int:  # noqa: FBT001 - as given
    project = Project(workers=workers, max_attempts=ATTEMPTS_MAX)
    try:
        _configure_django(project)
        from djq.demo.story import Story  # noqa: PLC0415 - models can be imported only now

        kept_promises = Story(screen, project, workers=workers, verbose=verbose).tell()
    except KeyboardInterrupt:
        raise
    except BaseException:
        screen.say("", "The demo itself failed. The end of the cluster's log:", *project.log_tail())
        raise
    finally:
        _clear(project, keep=keep)
        if keep:
            screen.say("", f"The project was kept: {project.folder}")
    return AS_PROMISED if kept_promises else NOT_AS_PROMISED


def _configure_django(project: Project) -> None:
    sys.path.insert(0, str(project.folder))
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()


def _clear(project: Project, *, keep: bool) -> None:
    for number in STOP_SIGNALS:
        # An impatient one more would leave half a folder.
        signal.signal(number, signal.SIG_IGN)
    connections.close_all()
    if not keep:
        project.remove()


@contextlib.contextmanager
def _stop_signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as Ctrl-C does, all being cleared away."""
    before = {}
    for number in STOP_SIGNALS:
        # Under nohup a closed terminal is to be ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
