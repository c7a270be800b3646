"""Holds the names of tasks: four words from an id, always the same ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.names import WORDS, name_of

ids = st.binary(min_size=16, max_size=16).map(bytes.hex)


def test_there_is_one_word_for_each_byte():
    assert len(WORDS) == len(set(WORDS)) == 256


def test_every_word_is_short_lower_case_and_without_hyphen():
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)
    assert all(3 <= len(word) <= 8 for word in WORDS)


def test_an_id_has_the_same_name_for_ever():
    assert name_of("00" * 16) == "-".join([WORDS[0]] * 4)
    assert name_of("0123456789abcdeffedcba9876543210") == "acorn-acorn-acorn-acorn"
    assert name_of("010000000002000000000300ff0000ff") == "-".join(
        [WORDS[1], WORDS[2], WORDS[3], WORDS[0]]
    )


@given(ids)
def test_a_name_is_four_words_that_fit_the_column(task_id):
    words = name_of(task_id).split("-")

    assert len(words) == 4
    assert set(words) <= set(WORDS)
    assert len(name_of(task_id)) <= 100


@given(ids, st.integers(0, 15), st.integers(1, 255))
def test_a_change_of_one_byte_changes_one_word(task_id, position, change):
    raw = bytearray.fromhex(task_id)
    raw[position] ^= change

    before, after = name_of(task_id).split("-"), name_of(raw.hex()).split("-")

    differing = [i for i in range(4) if before[i] != after[i]]
    assert differing == [position // 4]


@pytest.mark.parametrize("task_id", ["", "00", "0" * 30, "0" * 34, "z" * 32])
def test_what_is_no_id_has_no_name(task_id):
    with pytest.raises(ValueError, match="32 hex digits"):
        name_of(task_id)
