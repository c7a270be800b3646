"""Runs the samples of a page in a project: writes the files that it shows, runs the rest as a program.

Of the fenced blocks of a page in Markdown

- `python` that begins with a path in a comment (`# shop/tasks.py`) is a file of the project, or what
  is added to it; `# settings.py` are the settings of the project;
- any other `python` is run, and a `text` block that follows at once is what it has to print;
- `pycon` is run and compared as by `doctest`.

All blocks of a page share one namespace. In it `outcome` waits for a task that nobody has the id of, and
`until` for anything.
"""

from __future__ import annotations

import doctest
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from email import message_from_string
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # Programs of a project import this module too, and have no use for pytest.
    from tests.cluster.harness import Project

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.py)\b.*\n")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECONDS_MAX = 20
PAGE_SECONDS_MAX = 60
LOOK_SECONDS = 0.01


SETTINGS_FILE = "project_settings.py"
SETTINGS = """
import django

INSTALLED_APPS += ["django.contrib.auth", "django.contrib.sessions"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = "mails"
ADMINS = [("Admin", "admin@example.com") if django.VERSION < (6, 0) else "admin@example.com"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": "cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    },
}
"""
"""What the settings of the pages' projects have beyond those of other tests; they run in the folder."""


class Mail(NamedTuple):
    subject: str
    to: str
    text: str


class Block(NamedTuple):
    language: str
    text: str
    line: int
    file: str | None
    """The file of the project that this belongs to. None: it is to be run."""
    prints: str | None
    """What it has to print. None: that is not said."""


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    fences = list(FENCE.finditer(text))
    blocks = []
    for fence, after in zip(fences, [*fences[1:], None], strict=True):
        language, body = fence.groups()
        file = FILE.match(body) if language == "python" else None
        follows = after is not None and not text[fence.end() : after.start()].strip()
        prints = after[2] if after is not None and follows and after[1] == "text" else None
        line = text.count("\n", 0, fence.start()) + 1
        blocks.append(Block(language, body, line, file[1] if file else None, prints))
    return blocks


def prepare(project: Project, *pages: Path) -> None:
    """Write the files and settings that the pages show, and make the tables."""
    with (project.folder / SETTINGS_FILE).open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    for page in pages:
        write_files(page, project.folder, {"settings.py": SETTINGS_FILE})
    project.script(
        "from django.core.management import call_command\n"
        "call_command('migrate', run_syncdb=True, verbosity=0)"
    )


def write_files(page: Path, folder: Path, names: Mapping[str, str]) -> None:
    """Write the files that a page shows; `names` renames some."""
    for block in blocks_of(page):
        if block.file is not None:
            write_file(block, folder / names.get(block.file, block.file), folder)


def write_file(block: Block, path: Path, folder: Path) -> None:
    """Write a file of the project in this folder, or what is added to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent != folder:
        (path.parent / "__init__.py").touch()
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + block.text)


def run_in(project: Project, page: Path) -> None:
    """Run what a page says as a program of the project; nothing may be otherwise than written."""
    project.script(
        f"from pathlib import Path\nfrom tests.cluster import pages\npages.run(Path({str(page)!r}))",
        seconds=PAGE_SECONDS_MAX,
    )


def mails_of(project: Project) -> list[Mail]:
    """The mails that the project has sent, sorted."""
    texts = [path.read_text("utf-8") for path in (project.folder / "mails").glob("*")]
    parts = [part.strip() for text in texts for part in text.split("-" * 79)]
    messages = [message_from_string(part) for part in parts if part]
    return sorted(Mail(one["Subject"], one["To"], one.get_payload().strip()) for one in messages)


def run(page: Path) -> None:
    """Run what a page says, in this process; end with its complaints if anything is otherwise."""
    complaints = list(complaints_of(page))
    if complaints:
        sys.exit("\n".join(complaints))


def complaints_of(page: Path) -> Iterator[str]:
    names: dict[str, object] = {"__name__": "__main__", "outcome": outcome, "until": until}
    parser = doctest.DocTestParser()
    for block in blocks_of(page):
        if block.language == "pycon":
            test = parser.get_doctest(block.text, names, page.name, str(page), block.line)
            report = StringIO()
            doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(
                test, out=report.write, clear_globs=False
            )
            # A test has a copy of the names.
            names.update(test.globs)
            if report.getvalue():
                yield report.getvalue()
        elif block.language == "python" and block.file is None:
            printed = StringIO()
            # Lines and names as on the page.
            code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
            with redirect_stdout(printed):
                exec(code, names)
            got = printed.getvalue()
            if not is_as_said(block, got):
                yield f"{page.name}:{block.line}\nExpected:\n{block.prints}Got:\n{got}"


def is_as_said(block: Block, printed: str) -> bool:
    """Whether this is what a block has to print; yes if it does not say."""
    says = block.prints
    return says is None or doctest.OutputChecker().check_output(says, printed, FLAGS)


def until(condition: Callable[[], object]) -> object:
    """Wait for the condition to hold; give what it gave."""
    end = time.monotonic() + SECONDS_MAX
    while not (held := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come to hold within {SECONDS_MAX} s")
        time.sleep(LOOK_SECONDS)
    return held


def outcome(func: str) -> object:
    """The newest outcome of a function, as a task object, once there is one."""
    from djq.models import Task  # noqa: PLC0415 - the program's Django is set up by now

    return until(lambda: Task.objects.filter(func=func).order_by("-started").first())
