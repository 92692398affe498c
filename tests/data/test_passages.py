"""Passages: every word of a text once, in its place, never too long, never across a heading."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.pairs.headings import heading_pair
from vecsmith.data.passages import Block, cut_passages, paragraphs, sentence_spans, squeeze
from vecsmith.data.readers.text_blocks import markdown_blocks, plain_blocks, rst_blocks


def words(text):
    return len(text.split())


TEXT = st.text(alphabet=st.sampled_from(list("ab. \n!?。é")), max_size=300)
MARKDOWN = st.lists(
    st.sampled_from(
        ["# One", "## Two words", "", "plain text here.", "More. And more!", "```", "# in code?", "a" * 30]
    ),
    max_size=40,
).map("\n".join)


def cut(text, most, blocks=plain_blocks, **options):
    return list(cut_passages(blocks(text), max_tokens=most, count_tokens=words, **options))


@given(TEXT, st.integers(1, 12))
def test_passages_hold_every_character_once_and_in_order(text, most):
    assert "".join("".join(passage.text.split()) for passage in cut(text, most)) == "".join(text.split())


@given(TEXT, st.integers(1, 12))
def test_a_passage_stands_at_its_offsets(text, most):
    last = 0
    for passage in cut(text, most):
        assert squeeze(text[passage.start : passage.end]) == passage.text
        assert last <= passage.start < passage.end <= len(text)
        last = passage.end


@given(MARKDOWN, st.integers(1, 12))
def test_no_passage_is_longer_than_allowed(text, most):
    for passage in cut(text, most, markdown_blocks):
        assert words(passage.text) <= most


@given(MARKDOWN, st.integers(2, 40))
def test_a_heading_fits_before_its_passage_where_room_is_left(text, most):
    for passage in cut(text, most, markdown_blocks, room_for_heading=True):
        assert words(passage.text) + min(words(passage.heading), most // 2) <= most


@given(MARKDOWN, st.integers(1, 30))
def test_passages_and_headings_together_are_the_text(text, most):
    passages = cut(text, most, markdown_blocks)
    assert all("\n# One" not in text[passage.start : passage.end] or "```" in text for passage in passages)
    blocks = list(markdown_blocks(text))
    assert (
        "".join("".join(block.text for block in blocks if not block.level).split())
        == "".join("".join(passage.text for passage in passages).split())  # a word too long for a passage is cut
    )


@given(TEXT)
def test_sentences_leave_only_white_space_between_them(text):
    last, rest = 0, []
    for start, end in sentence_spans(text):
        assert start >= last
        assert text[start:end] == text[start:end].strip() != ""
        rest.append(text[last:start])
        last = end
    assert not "".join([*rest, text[last:]]).strip()


def test_an_abbreviation_ends_no_sentence():
    text = 'Use e.g. J. Smith et al. as names. "Is it?" Yes.'
    assert [text[slice(*span)] for span in sentence_spans(text)] == [
        "Use e.g. J. Smith et al. as names.",
        '"Is it?"',
        "Yes.",
    ]


def test_sentences_without_space_between_them_are_joined_without_one():
    text = "一二。三四。五六。七八。"
    assert [piece.text for piece in cut_passages(plain_blocks(text), max_tokens=6, count_tokens=len)] == [
        "一二。三四。",
        "五六。七八。",
    ]


def test_a_word_longer_than_a_passage_is_cut():
    blocks = [Block(0, 100, "x" * 100)]
    pieces = list(cut_passages(blocks, max_tokens=10, count_tokens=len))
    assert "".join(piece.text for piece in pieces) == "x" * 100
    assert max(len(piece.text) for piece in pieces) <= 10
    assert [blocks[0].text[p.start : p.end] for p in pieces] == [p.text for p in pieces]


def test_a_count_that_is_always_too_high_ends_all_the_same():
    pieces = list(cut_passages([Block(0, 4, "ab c")], max_tokens=1, count_tokens=lambda text: 9))
    assert [piece.text for piece in pieces] == ["a", "b", "c"]


def test_paragraphs_of_a_section_are_packed_together():
    text = "# Head\n\none two\n\nthree four\n\nfive six seven\n\n# Next\n\neight"
    found = [(passage.text, passage.heading, passage.section) for passage in cut(text, 4, markdown_blocks)]
    assert found == [("one two three four", "Head", 1), ("five six seven", "Head", 1), ("eight", "Next", 2)]


def test_tokens_are_counted_about_once():
    text = "\n\n".join("word " * 50 + "." for _ in range(2000)) + "\n\n" + "word " * 20_000
    counted = []
    list(
        cut_passages(
            paragraphs(text), max_tokens=64, count_tokens=lambda part: counted.append(len(part)) or words(part)
        )
    )
    assert sum(counted) < 3 * len(text)  # the long run of words is halved eleven times


def test_a_passage_needs_room_for_a_token():
    with pytest.raises(ValueError, match="max_tokens is 0; at least 1"):
        list(cut_passages([], max_tokens=0, count_tokens=words))


@pytest.mark.parametrize("text", [" " * 200_000, "# " + " #" * 100_000, "<" * 100_000, '"' * 100_000, "=\n" * 50_000])
def test_hostile_text_takes_linear_time(text):
    for reader in (plain_blocks, markdown_blocks, rst_blocks):
        start = time.process_time()
        for passage in cut(text, 64, reader):
            heading_pair(passage.heading, text, passage.text)
        assert time.process_time() - start < 2
