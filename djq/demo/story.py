"""The story of the demo: queue real work, let a real cluster do it, stop it, and judge.

It is imported once Django knows the demo's project.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping

from django.core.management import call_command

from djq.demo import summary, work
from djq.demo.project import ClusterProcess, Project
from djq.demo.screen import Screen
from djq.demo.verdict import Ended, Facts, Promise, complaints
from djq.models import OrmQ, Task
from djq.runtime.clock import SystemClock
from djq.tasks import async_task

PAUSE_SECONDS = 0.1
WAIT_SECONDS_MAX = 120.0


class Story:
    """One run of the demo."""

    def __init__(self, screen: Screen, project: Project, *, workers: int, verbose: bool) -> None:
        self._screen = screen
        self._project = project
        self._workers = workers
        self._verbose = verbose
        self._clock = SystemClock()
        self._log_lines_shown = 0
        self._modules = work.library_modules()
        self._module_of: dict[str, str] = {}
        self._example_of: dict[str, work.Example] = {}

    def tell(self) -> bool:
        """Run from the first word to the last; True when every promise was kept."""
        screen = self._screen
        screen.say(screen.title("djq demo: a task queue at work"), "")
        self._queue()
        began = self._clock.monotonic()
        cluster = ClusterProcess(self._project)
        try:
            gave_up = self._watch(cluster, began)
            seconds = self._clock.monotonic() - began
            stopping_at = self._clock.monotonic()
            exit_code = cluster.stop()
            stop_seconds = self._clock.monotonic() - stopping_at
            left_over = [str(process) for process in cluster.left_over()]
        except KeyboardInterrupt:
            screen.say("Stopping the cluster; once more, and it is killed.")
            raise
        finally:
            # Idle when all went well: whatever happens, nothing of the cluster stays.
            cluster.stop()
            cluster.kill()
            self._show_log()
        counts = self._count_alone()
        figures = summary.Figures(
            python=platform.python_version(),
            workers=_workers(self._workers),
            tasks=len(self._module_of) + len(self._example_of),
            cluster_seconds=seconds,
            stop_seconds=stop_seconds,
        )
        facts = Facts(
            promises=self._promises(counts),
            ended=_outcomes(),
            hook_notes=self._project.read_lines(work.HOOK_DIARY),
            hook_notes_promised=work.HOOK_NOTES,
            gave_up=gave_up,
            exit_code=exit_code,
            left_over=left_over,
        )
        return self._sum_up(facts, figures)

    def _queue(self) -> None:
        """Make the tables, and a task of each module and each example."""
        call_command("migrate", verbosity=0)
        began = self._clock.monotonic()
        for example in work.EXAMPLES:
            id_ = async_task(
                example.func, *example.args, task_name=example.title, **example.options
            )
            self._example_of[id_] = example
        for name, path in self._modules.items():
            id_ = async_task(work.count_module, str(path), task_name=name)
            self._module_of[id_] = name
        seconds = self._clock.monotonic() - began
        examples, modules = len(self._example_of), len(self._module_of)
        to_fail = sum(not example.success for example in work.EXAMPLES)
        self._screen.say(
            f"  project  a temporary one, on SQLite: {self._project.folder}",
            f"  queue    {modules:,} tasks that each count a module of Python's standard library,",
            f"           and {examples} that show how a task can end, {to_fail} of them by failing",
            f"           ({modules + examples:,} tasks queued in {seconds:.1f} s)",
            f"  cluster  manage.py qcluster, with {_workers(self._workers)}",
            "",
        )

    def _watch(self, cluster: ClusterProcess, began: float) -> str | None:
        """Show the progress until the queue is empty; else say why that was not waited for."""
        total = len(self._example_of) + len(self._module_of)
        while True:
            seconds = self._clock.monotonic() - began
            done = Task.objects.count()
            failed = Task.objects.filter(success=False).count()
            self._show_log()
            self._screen.progress(done=done, total=total, seconds=seconds, failed=failed)
            # A package leaves the queue when its outcome is kept and its hook, if any, is queued.
            if not OrmQ.objects.exists():
                return None
            if cluster.exit_code is not None:
                return "the cluster ended by itself, before the queue was empty"
            if seconds > WAIT_SECONDS_MAX:
                return f"the queue was not empty after {WAIT_SECONDS_MAX:g} s"
            self._clock.pause(PAUSE_SECONDS)

    def _count_alone(self) -> dict[str, work.Count | None]:
        """Count all modules in this process, for comparison."""
        self._screen.redraw("counting all modules once more in one process, to compare ...")
        return {name: work.count_module(str(path)) for name, path in self._modules.items()}

    def _promises(self, counts: Mapping[str, work.Count | None]) -> dict[str, Promise]:
        promises = {
            id_: Promise(name=name, result=counts[name]) for id_, name in self._module_of.items()
        }
        for id_, example in self._example_of.items():
            promises[id_] = Promise(
                name=example.title,
                success=example.success,
                result=example.result,
                attempts=example.attempts,
            )
        return promises

    def _sum_up(self, facts: Facts, figures: summary.Figures) -> bool:
        """Say all there is to say; True when there is nothing to complain of."""
        found = complaints(facts)
        counted: dict[str, work.Count | None] = {}
        for id_, name in self._module_of.items():
            result = facts.ended[id_].result if id_ in facts.ended else None
            counted[name] = result if isinstance(result, work.Count) else None
        examples = [(facts.promises[id_], facts.ended.get(id_)) for id_ in self._example_of]
        screen = self._screen
        screen.say(
            *summary.what_ran(screen, figures, counted),
            *summary.how_examples_ended(screen, examples, facts.hook_notes),
            *summary.how_it_ended(screen, figures, found),
        )
        if found:
            screen.say("", "The end of the cluster's log:", *self._project.log_tail())
        else:
            screen.say(*summary.what_next(screen))
        return not found

    def _show_log(self) -> None:
        """With --verbose, show what the cluster has logged since the last look."""
        if not self._verbose:
            return
        lines = self._project.read_lines(self._project.log.name)
        self._screen.say(*(f"  {line}" for line in lines[self._log_lines_shown :]))
        self._log_lines_shown = len(lines)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _outcomes() -> dict[str, Ended]:
    return {
        task.id: Ended(
            name=task.name, success=task.success, result=task.result, attempts=task.attempts
        )
        for task in Task.objects.all()
    }
