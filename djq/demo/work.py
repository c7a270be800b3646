"""The tasks of the demo: one counts a module, the others show how a task can end.

They run in the workers, with the demo's project as their working folder. The function that queues
them promises what each has to come to; `verdict` compares.
"""

from __future__ import annotations

import ast
import os
import re
import signal
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from djq.models import Task

TEST_FOLDERS = frozenset({"test", "tests", "idle_test"})

HOOK_DIARY = "hook.txt"
DEATHS_DIARY = "deaths.txt"
DEATHS = 2
ATTEMPTS_MAX = 3


@attrs.frozen
class Count:
    """What was counted in one module."""

    lines: int
    """Lines of text, empty ones and comments included, as `wc -l` counts."""

    functions: int
    """Functions and methods, nested ones included."""

    classes: int
    """Classes, nested ones included."""


def library_modules() -> dict[str, Path]:
    """Find the modules of this Python's standard library that are written in Python, by name."""
    root = Path(sysconfig.get_path("stdlib"))
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        # Names with a hyphen, site-packages for one, hold other people's packages, or none.
        packages = parts[:-1]
        if TEST_FOLDERS.isdisjoint(packages) and all(map(str.isidentifier, packages)):
            found[".".join(packages if parts[-1] == "__init__" else parts)] = path
    return found


def count_module(path: str) -> Count | None:
    """Parse a module and count; None when the file is no UTF-8 text, or no Python."""
    try:
        text = Path(path).read_text("utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    kinds = [type(node) for node in ast.walk(tree)]
    return Count(
        lines=text.count("\n"),
        functions=kinds.count(ast.FunctionDef) + kinds.count(ast.AsyncFunctionDef),
        classes=kinds.count(ast.ClassDef),
    )


def divide(number: int, by: int) -> float:
    """Divide; by nothing, Python refuses."""
    return number / by


def match_for_ever() -> bool:
    """Match a text against an expression that needs some thousand years for it."""
    return re.match(r"(a+)+$", "a" * 40 + "b") is not None


def be_killed() -> None:
    """End as the kernel ends a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_first(deaths: int, diary: str) -> str:
    """End the process in the first so many runs, then return; the diary has a letter for each run."""
    path = Path(diary)
    with path.open("a") as file:
        file.write("x")
    run = path.stat().st_size
    if run <= deaths:
        os._exit(1)
    return f"returned in run {run}"


def yield_lines() -> Iterator[str]:
    """Give a generator, which belongs to its process and cannot be kept in a database."""
    yield "never reached"


def greet(name: str) -> str:
    """Return a greeting."""
    return f"hello, {name}"


def note(task: Task) -> None:
    """Write down what a task returned: the hook of `greet`."""
    with Path(HOOK_DIARY).open("a") as file:
        file.write(f"{task.func} returned: {task.result}\n")


@attrs.frozen(kw_only=True)
class Example:
    """A task that shows one way to end, and the promise of how that looks."""

    title: str
    """What the task does, in words for the summary; its name as well."""

    func: Callable[..., Any]
    """What is called."""

    args: tuple[Any, ...] = ()
    """What it is called with."""

    options: Mapping[str, Any] = attrs.field(factory=dict)
    """Options for `async_task`."""

    success: bool
    """Whether it is to end as a success."""

    result: str
    """The success's value; of a failure the beginning of its line."""

    attempts: int = 1
    """How often it is delivered."""


HOOKED = "has a hook"
EXAMPLES = (
    Example(
        title="raises an exception",
        func=divide,
        args=(1, 0),
        success=False,
        result="ZeroDivisionError: division by zero",
    ),
    Example(
        title="never ends; has timeout=1",
        func=match_for_ever,
        options={"timeout": 1},
        success=False,
        result="TaskTimedOut: timed out after 1 s",
    ),
    Example(
        title="kills its worker each time",
        func=be_killed,
        success=False,
        result="WorkerDied: worker died: signal 9 (SIGKILL), 3 attempts",
        attempts=ATTEMPTS_MAX,
    ),
    Example(
        title="kills its worker twice",
        func=die_first,
        args=(DEATHS, DEATHS_DIARY),
        success=True,
        result="returned in run 3",
        attempts=DEATHS + 1,
    ),
    Example(
        title="returns a generator",
        func=yield_lines,
        success=False,
        result="PicklingError: the function returned an object of type 'generator', which cannot "
        "be pickled",
    ),
    Example(
        title=HOOKED,
        func=greet,
        args=("newcomer",),
        options={"hook": "djq.demo.work.note"},
        success=True,
        result="hello, newcomer",
    ),
)
HOOK_NOTES = ("djq.demo.work.greet returned: hello, newcomer",)
"""What the hook has to have written, all in all."""
