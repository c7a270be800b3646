"""Holds the configuration page to the settings that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from djq.core.config import NOT_YET, RULES, Config

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
DEFAULTS = Config(workers=4, time_zone="Europe/Berlin")


def rows() -> dict[str, str]:
    text = DOCS.read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([a-z_]+)` \| (.*?) \|", text, flags=re.MULTILINE))


def test_docs_have_a_row_for_every_key_and_no_other():
    assert set(rows()) == set(RULES)


@pytest.mark.parametrize("key", sorted(RULES))
def test_docs_name_the_default(key):
    words = {"workers": "number of processors", "time_zone": "`TIME_ZONE`"}
    default = words.get(key, f"`{getattr(DEFAULTS, key)!r}`")

    assert rows()[key] == default


def test_docs_list_what_is_not_there_yet():
    section = DOCS.read_text(encoding="utf-8").split("## Not yet\n")[1].split("\n## ")[0]

    assert set(re.findall(r"^- `(\w+)`$", section, flags=re.MULTILINE)) == set(NOT_YET)
