"""Text that others chose: what would steer a terminal is shown instead of obeyed."""

from __future__ import annotations

import pytest

from djq.terminal.visible import shortened, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pizza-berlin", "pizza-berlin"),
        ("Überweisung 東京 🍕", "Überweisung 東京 🍕"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("\x1b]0;mine\x07", r"\x1b]0;mine\x07"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("\x7f\x9b31m", r"\x7f\x9b31m"),
        ("\u202egpj.exe\u2028", r"\u202egpj.exe\u2028"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_what_has_no_picture_of_its_own_is_shown_as_its_escape(text, shown):
    assert visible(text) == shown


def test_lines_stay_lines_and_tabs_become_blanks():
    assert visible_lines("a\n\tb\x1bc\r\n") == "a\n    b\\x1bc\\r\n"


@pytest.mark.parametrize(
    ("width", "shown"),
    [(12, "orion.prod.7"), (11, "orion…rod.7"), (8, "ori…od.7"), (2, "…7"), (1, "…")],
)
def test_a_long_name_keeps_both_its_ends(width, shown):
    assert shortened("orion.prod.7", width) == shown
