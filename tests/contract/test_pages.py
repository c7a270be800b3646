"""The page about brokers, as an author follows it: its files in a repository of their own, tests and all."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from djq_testing.memory import KINDS
from tests.cluster.pages import write_files
from tests.house.source import ROOT

SKIPPED = re.compile(r"^SKIPPED .*: (.*)$", re.MULTILINE)


PAGE = ROOT / "docs" / "brokers.md"


def test_the_table_of_kinds_is_theirs():
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.count("|") == 9]
    switches, *table = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in rows]
    told = {
        kind: {
            row[0].partition("`")[0]: row[column].replace(",", "")
            for row in table[1:]
            if row[column]
        }
        for column, kind in enumerate(switches)
        if column
    }

    assert told == {
        kind: {switch: str(value) for switch, value in wanted.items()}
        for kind, wanted in KINDS.items()
    }


def test_the_broker_of_the_page_keeps_every_promise(tmp_path):
    write_files(PAGE, tmp_path, {})
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=theirs,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    # What is skipped asks for limits that this broker does not have.
    assert set(SKIPPED.findall(run.stdout)) == {
        "bulk_limit is None",
        "delays is False",
        "max_payload is None",
    }
    assert int(re.search(r"(\d+) passed", run.stdout)[1]) > 110
