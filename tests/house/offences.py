"""The rules of the house that read one syntax tree: each gives the offences that it finds."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.source import body_lines_of, dotted_uses_of, imports_of

FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 400

READS_TIME = frozenset(
    {
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "django.utils.timezone.localdate",
        "django.utils.timezone.localtime",
        "django.utils.timezone.now",
        "time.clock_gettime",
        "time.gmtime",
        "time.localtime",
        "time.monotonic",
        "time.monotonic_ns",
        "time.perf_counter",
        "time.perf_counter_ns",
        "time.time",
        "time.time_ns",
    }
)


def long_functions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = body_lines_of(node)
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.lineno}: {node.name} has {lines} lines, {FUNCTION_LINES_MAX} at most"


def time_readings(tree: ast.AST) -> Iterator[str]:
    for line, name in dotted_uses_of(tree):
        if name in READS_TIME:
            yield f"{line}: {name} reads the time; take a Clock, or `now` as an argument"


def sleeps(tree: ast.AST) -> Iterator[str]:
    for line, name in dotted_uses_of(tree):
        if name in {"time.sleep", "asyncio.sleep"}:
            yield f"{line}: {name} waits; return a Wait, or take a `pause` as an argument"


def settings_readings(tree: ast.AST) -> Iterator[str]:
    for line, name in imports_of(tree):
        if name == "django.conf" or name.startswith("django.conf."):
            yield f"{line}: {name} reads the settings; take a Config, or ask djq.conf"


def patches(tree: ast.AST) -> Iterator[str]:
    """Sleeping, mocking and patching in a test: a port is missing where one is needed."""
    yield from sleeps(tree)
    for line, name in imports_of(tree):
        if name.split(".")[0] in {"mock", "pytest_mock"} or name.startswith("unittest.mock"):
            yield f"{line}: {name} is a mock; hand in a port"
    for line, name in dotted_uses_of(tree):
        if name in {"monkeypatch.setattr", "monkeypatch.delattr"} or name.startswith("mocker."):
            yield f"{line}: {name} patches the code under test; hand in a port"


def missing_docstring(tree: ast.Module) -> Iterator[str]:
    """An empty file has nothing to say; every other one says what it decides or touches."""
    if tree.body and not ast.get_docstring(tree):
        yield "1: the module does not say what it decides or touches"


def missing_annotations_import(tree: ast.Module) -> Iterator[str]:
    """A file with nothing but its docstring has nothing to annotate."""
    imported = {name for _, name in imports_of(tree)}
    if tree.body[1:] and "__future__.annotations" not in imported:
        yield "1: `from __future__ import annotations` is missing"
