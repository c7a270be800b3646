"""Texts as databases keep them."""

from __future__ import annotations


def plain(text: str) -> str:
    """Spell out what no database keeps in a text: zero bytes and halves of characters."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
