"""Every rule of the house finds its offence: a rule that finds nothing would hold nothing."""

from __future__ import annotations

import ast

import pytest

from tests.house import offences
from tests.house.test_source import unwanted_words

LONG = "def f():\n" + "    x = 1\n" * (offences.FUNCTION_LINES_MAX + 1)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (offences.long_functions, LONG),
        (offences.long_functions, f"class A:\n{LONG.replace('def', ' def').replace('    ', '  ')}"),
        (offences.time_readings, "import time\ntime.time()"),
        (offences.time_readings, "import time as t\nt.monotonic()"),
        (offences.time_readings, "from time import monotonic\nread = monotonic"),
        (offences.time_readings, "import datetime\ndatetime.datetime.now()"),
        (offences.time_readings, "from datetime import datetime\ndatetime.now()"),
        (offences.time_readings, "from django.utils import timezone\ntimezone.now()"),
        (offences.sleeps, "import time\ntime.sleep(1)"),
        (offences.sleeps, "from time import sleep as pause\npause(1)"),
        (offences.settings_readings, "from django.conf import settings"),
        (offences.settings_readings, "def f():\n    import django.conf"),
        (offences.patches, "from unittest import mock"),
        (offences.patches, "from unittest.mock import patch"),
        (offences.patches, "def test_f(monkeypatch):\n    monkeypatch.setattr(a, 'b', 1)"),
        (offences.patches, "def test_f(mocker):\n    mocker.patch('a.b')"),
        (offences.patches, "import time\ntime.sleep(1)"),
        (offences.missing_docstring, "x = 1"),
        (offences.missing_annotations_import, '"""Says."""\nx = 1'),
    ],
)
def test_rule_finds_its_offence(rule, code):
    assert len(list(rule(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (offences.long_functions, LONG.replace("    x = 1\n", "", 1)),
        (offences.long_functions, LONG.replace("    x = 1\n", '    """Says."""\n', 1)),
        (offences.time_readings, "def f(clock):\n    return clock.monotonic()"),
        (offences.time_readings, "from datetime import datetime\ndatetime.fromtimestamp(0)"),
        (offences.sleeps, "def f(pause):\n    pause(1)"),
        (offences.settings_readings, "from djq.conf import get_config"),
        (offences.patches, "def test_f(monkeypatch):\n    monkeypatch.setenv('A', 'b')"),
        (offences.missing_docstring, ""),
        (offences.missing_docstring, '"""Says."""\nx = 1'),
        (offences.missing_annotations_import, '"""Says."""'),
        (
            offences.missing_annotations_import,
            '"""Says."""\nfrom __future__ import annotations\nx = 1',
        ),
    ],
)
def test_rule_leaves_the_honest_alone(rule, code):
    assert list(rule(ast.parse(code))) == []


# The bar is taken out before the test: with it, this file is no offence itself.
@pytest.mark.parametrize(
    "barred",
    [
        "# TO|DO: later",
        "# FIX|ME",
        "open('/ro|ot/notes')",
        "see /wo|rk/main",
        "https://py|pi.org/simple",
    ],
)
def test_unwanted_words_are_found(barred):
    assert len(unwanted_words(barred.replace("|", ""))) == 1
    assert unwanted_words(barred) == []


@pytest.mark.parametrize("line", ["the to-do list", "docs/home/page.md", "$temp/work/a", "GET /"])
def test_honest_words_are_left_alone(line):
    assert unwanted_words(line) == []
