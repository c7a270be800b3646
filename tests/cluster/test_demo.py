"""`python -m djq demo`, run as a stranger would, and what it is judged by."""

from __future__ import annotations

import ast
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import psutil
import pytest

import djq
from djq.demo import work
from djq.demo.screen import Screen
from djq.demo.verdict import Ended, Facts, Promise, complaints
from tests.house.source import ROOT

pytestmark = pytest.mark.thorough

FOLDER = re.compile(r"djq-demo-\w+")
SECONDS_MAX = 100


def command(*arguments):
    return [sys.executable, "-m", "djq", *arguments]


def environment(tmp_path):
    """The demo's projects go where the test can look for them."""
    return {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}


def run(*arguments, folder=ROOT):
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def processes_in(folder):
    """Every process that works in a folder or below; the titles of djq's tell nothing of it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(folder)):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """One whole run of the demo, and the folder that it kept its project in."""
    folder = tmp_path_factory.mktemp("kept")
    return run("demo", "--keep", "--workers", "2", folder=folder), folder


@pytest.fixture
def running(tmp_path):
    """A demo whose cluster is at work; it is ended with the test."""
    process = subprocess.Popen(
        command("demo", "--verbose", "--workers", "2"),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if "Processed" in line:
            break
    else:
        pytest.fail("".join(heard))
    with process:
        yield process
        process.kill()
        for left in processes_in(tmp_path):
            left.kill()


def test_demo_ends_with_every_promise_kept(kept):
    ended, _ = kept

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "All as promised." in ended.stdout
    assert ended.stderr == ""


def test_demo_counts_the_whole_standard_library(kept):
    ended, _ = kept
    texts = [path.read_text("utf-8") for path in work.library_modules().values()]

    lines = sum(text.count("\n") for text in texts)

    assert len(texts) > 300
    total = f"{len(texts):,} modules   {lines:,} lines"
    assert total in ended.stdout


@pytest.mark.parametrize("example", work.EXAMPLES, ids=lambda example: example.title)
def test_demo_shows_how_each_example_ended(kept, example):
    ended, _ = kept
    outcome = "success" if example.success else "failure"
    text = " ".join(ended.stdout.split())

    assert f"{example.title} {outcome} {example.result}" in text


def test_demo_piped_shows_a_few_plain_lines_of_80_columns(kept):
    ended, folder = kept
    lines = [line for line in ended.stdout.splitlines() if str(folder) not in line]

    assert "\x1b" not in ended.stdout
    assert "\r" not in ended.stdout
    assert len([line for line in lines if re.match(r"  [\d,]+ of [\d,]+ tasks", line)]) <= 4
    assert [line for line in lines if len(line) > 80] == []


def test_kept_project_passes_every_check(kept):
    _, folder = kept
    (project,) = folder.iterdir()

    check = subprocess.run(
        [sys.executable, "manage.py", "check", "--fail-level", "WARNING", "--database", "default"],
        cwd=project,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "of.somebody.else"},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert check.returncode == 0, check.stderr


def test_demo_says_where_it_kept_the_project(kept):
    ended, folder = kept
    (project,) = folder.iterdir()

    assert f"The project was kept: {project.resolve()}" in ended.stdout


def test_demo_leaves_no_process(kept):
    _, folder = kept

    assert processes_in(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_demo_that_is_stopped_clears_all_away(running, tmp_path, number):
    running.send_signal(number)
    said, _ = running.communicate(timeout=SECONDS_MAX)

    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert "Nothing of the demo runs any more." in said
    assert re.search(r"Q Cluster-\d+ has stopped\.", said)
    assert processes_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_demo_whose_cluster_is_killed_fails_and_says_so(running, tmp_path):
    (cluster,) = psutil.Process(running.pid).children()
    cluster.kill()
    said, _ = running.communicate(timeout=SECONDS_MAX)

    assert running.returncode == 1, said
    assert "NOT as promised" in said
    assert "the cluster ended by itself" in said
    assert "exit code -9" in said
    assert "The end of the cluster's log:" in said
    assert processes_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_command_without_arguments_says_its_usage():
    said = run()

    assert said.returncode == 0
    assert "usage: python -m djq" in said.stdout
    assert "demo" in said.stdout
    assert "--version" in said.stdout


def test_command_says_its_version():
    assert run("--version").stdout == f"djq {djq.__version__}\n"


@pytest.mark.parametrize("number", ["0", "-1", "65", "two"])
def test_impossible_number_of_workers_is_refused(number):
    said = run("demo", f"--workers={number}")

    assert said.returncode == 2
    assert f"'{number}' is no number of workers; write a whole number from 1 to 64" in said.stderr


COUNT = work.Count(lines=10, functions=2, classes=1)
FACTS = Facts(
    promises={
        "a": Promise(name="a module", result=COUNT),
        "b": Promise(name="fails", success=False, result="ValueError: no", attempts=3),
        "c": Promise(name="no Python", result=None),
    },
    ended={
        "a": Ended(name="a module", success=True, result=COUNT, attempts=1),
        "b": Ended(name="fails", success=False, result="ValueError: no use", attempts=3),
        "c": Ended(name="no Python", success=True, result=None, attempts=2),
    },
    hook_notes=["once"],
    hook_notes_promised=["once"],
    exit_code=0,
)


def with_outcome(id_, **changes):
    return attrs.evolve(
        FACTS, ended={**FACTS.ended, id_: attrs.evolve(FACTS.ended[id_], **changes)}
    )


def without(id_):
    return attrs.evolve(
        FACTS, ended={other: ended for other, ended in FACTS.ended.items() if other != id_}
    )


def with_stranger():
    stranger = Ended(name="stranger", success=True, result=None, attempts=1)
    return attrs.evolve(FACTS, ended={**FACTS.ended, "d": stranger})


def test_kept_promises_leave_nothing_to_complain_of():
    assert complaints(FACTS) == []


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        pytest.param(without("a"), "a module: has no outcome", id="missing"),
        pytest.param(
            with_outcome("a", result=attrs.evolve(COUNT, lines=11)), "lines=11", id="wrong count"
        ),
        pytest.param(with_outcome("a", success=False), "a module: failed", id="failure"),
        pytest.param(with_outcome("c", result=COUNT), "no Python: succeeded", id="unwanted count"),
        pytest.param(with_outcome("b", success=True), "fails: succeeded", id="success"),
        pytest.param(with_outcome("b", result="ValueError"), "fails: failed", id="other words"),
        pytest.param(with_outcome("b", attempts=1), "delivered once, not 3 times", id="attempts"),
        pytest.param(with_stranger(), "stranger: has an outcome", id="stranger"),
        pytest.param(attrs.evolve(FACTS, hook_notes=[]), "hook", id="no hook"),
        pytest.param(attrs.evolve(FACTS, hook_notes=["once"] * 2), "hook", id="hook ran twice"),
        pytest.param(attrs.evolve(FACTS, gave_up="too late"), "too late", id="gave up"),
        pytest.param(attrs.evolve(FACTS, exit_code=1), "exit code 1, not 0", id="exit code"),
        pytest.param(attrs.evolve(FACTS, left_over=["pid 7"]), "pid 7", id="left over"),
    ],
)
def test_each_broken_promise_is_complained_of_once(facts, word):
    (complaint,) = complaints(facts)

    assert word in complaint


def test_module_is_counted_by_lines_functions_and_classes(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("class A:\n    def f(self):\n        async def g():\n            pass\n\n")

    assert work.count_module(str(module)) == work.Count(lines=5, functions=2, classes=1)


@pytest.mark.parametrize("content", [b"print 'no'\n", b"# \xff\n", b"a = 1\x00\n"])
def test_file_that_is_no_python_counts_as_none(tmp_path, content):
    module = tmp_path / "module.py"
    module.write_bytes(content)

    assert work.count_module(str(module)) is None


def test_library_has_packages_and_no_tests():
    modules = work.library_modules()

    assert {"ast", "asyncio", "asyncio.base_events", "xml.etree.ElementTree"} <= modules.keys()
    assert modules["asyncio"] == Path(ast.__file__).parent / "asyncio" / "__init__.py"
    assert [name for name in modules if {"test", "tests", "pytest"} & set(name.split("."))] == []


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_terminal_has_one_line_redrawn():
    terminal = Terminal()
    screen = Screen(terminal, {"TERM": "xterm"})

    for done in range(5):
        screen.progress(done=done, total=4, seconds=1, failed=0)
    screen.say("the end")

    redrawn = terminal.getvalue().split("\r\x1b[K")
    assert len(redrawn) == 7
    assert "\n" not in "".join(redrawn[:-1])
    assert redrawn[-1] == "the end\n"
    assert max(map(len, redrawn)) < 80


@pytest.mark.parametrize(
    ("words", "styled"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
def test_colours_can_be_switched_off(words, styled):
    assert ("\x1b" in Screen(Terminal(), words).title("title")) is styled
