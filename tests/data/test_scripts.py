"""Scripts of letters against the names that Unicode gives them; counts against a loop over characters."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.scripts import CLASSES, ODD, SCRIPTS, class_counts, class_table


def script_of(character: str) -> str:
    return CLASSES[class_table()[ord(character)]]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("resumé Straße ﬁ", "Latin"),
        ("Ελληνικά", "Greek"),
        ("Привет", "Cyrillic"),
        ("שלום", "Hebrew"),
        ("مرحبا پاکستان", "Arabic"),
        ("नमस्ते मराठी", "Devanagari"),
        ("বাংলা", "Bengali"),
        ("தமிழ்", "Tamil"),
        ("ไทย", "Thai"),
        ("한국어", "Hangul"),
        ("ひらがな", "Hiragana"),
        ("カタカナ", "Katakana"),
        ("漢字𠀀", "Han"),
        ("ქართული", "Georgian"),
        ("አማርኛ", "Ethiopic"),
        ("ᚠᚢᚦ", "other letters"),
    ],
)
def test_every_letter_of_a_word_has_the_script_that_it_is_written_in(text, script):
    letters = [character for character in text if unicodedata.category(character).startswith("L")]
    assert {script_of(character) for character in letters} == {script}


def test_letters_have_the_script_that_their_unicode_name_begins_with():
    """Blocks are an approximation; fewer than 1 in 150 named letters of a listed script may disagree."""
    named = wrong = 0
    upper = {name.upper(): name for name in SCRIPTS} | {"CJK": "Han"}
    for point in range(0x20000):
        character = chr(point)
        first = unicodedata.name(character, "").split(" ")[0]
        if unicodedata.category(character).startswith("L") and first in upper:
            named += 1
            wrong += script_of(character) != upper[first]
    assert named > 40_000
    assert wrong < named / 150


def test_digits_punctuation_marks_and_emoji_belong_to_no_script():
    assert {script_of(character) for character in "0123 ,.!?-_\t\n😀٣\u0301\u093f"} == {""}


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\0", "NUL"),
        ("\ufffd", "replacement character"),
        ("\x12", "control character"),
        ("\x85", "control character"),
        ("\ud800", "half of a surrogate pair"),
        ("\u202e", "direction mark"),
        ("\u200b", "invisible character"),
        ("\ue000", "private use character"),
    ],
)
def test_odd_characters_are_told_apart(character, name):
    assert script_of(character) == name


def test_tabs_line_ends_and_joiners_are_not_odd():
    assert not {script_of(character) for character in "\t\n\r\u200c\u200d"} & {*ODD}


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=8))
def test_counts_are_those_of_a_loop_over_characters(texts):
    counts = class_counts(texts)
    assert counts.shape == (len(texts), len(CLASSES))
    for row, text in zip(counts, texts, strict=True):
        expected = np.zeros(len(CLASSES), dtype=int)
        for character in text:
            expected[class_table()[ord(character)]] += 1
        assert row.tolist() == expected.tolist()
