"""Reads the source of the repository for the house tests: files, trees, imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """Every Python file below the folders, in one order everywhere."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> list[Path]:
    """Every file that people wrote: hidden folders are left out, but for `.ci`."""
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and is_ours(path.relative_to(ROOT))
        and path.suffix not in {".pyc", ".png"}
    )


def is_ours(relative: Path) -> bool:
    """Whether a path is neither a tool's nor a test run's."""
    if relative.parts == (".git",):
        # In a second working tree it is a file, which says where the first one is.
        return False
    folders = relative.parts[:-1]
    return not any(
        part == "__pycache__" or part.endswith(".egg-info") or (part[0] == "." and part != ".ci")
        for part in folders
    ) and folders[:1] not in {("build",), ("dist",)}


def name_of(path: Path) -> str:
    """The path as a person would write it from the top of the repository."""
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every import as (line, dotted name), those inside functions too.

    `from a import b` gives `a.b`, so that a module is found whichever way it was imported.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def dotted_uses_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name and attribute as (line, dotted name), import names written out.

    After `from django.utils import timezone as tz`, `tz.now` is found as `django.utils.timezone.now`.
    """
    full = full_names_of(tree)
    for node in ast.walk(tree):
        dotted = dotted_of(node)
        if dotted:
            head, _, rest = dotted.partition(".")
            known = full.get(head, head)
            yield getattr(node, "lineno", 0), f"{known}.{rest}" if rest else known


def full_names_of(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for."""
    full = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return full


def dotted_of(node: ast.AST) -> str:
    """`a.b.c` for an attribute of names, `a` for a name, nothing for the rest."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        value = dotted_of(node.value)
        return f"{value}.{node.attr}" if value else ""
    return ""


def body_lines_of(function: Function) -> int:
    """How many lines a function's body has, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1
