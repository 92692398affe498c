"""Texts for distilling: what counts as judged text is left out, whatever its punctuation and place."""

import importlib

import pytest

from vecsmith.data.readers.distillation_texts import (
    SETS,
    docstring_texts,
    holds_judged,
    judged_letters,
    letters,
    plain_sentences,
    read_distillation_texts,
)
from vecsmith.data.readers.docstring_packages import is_held_out, package_of
from vecsmith.errors import DataError

JUDGED_FOLDERS = {"stsb", "sick", "sts12_15", "scifact", "arxiv_cs"}


def test_sentences_end_where_an_upper_case_letter_follows():
    assert plain_sentences("It is 3.5 m. The next (e.g. this) one? Yes!") == [
        "It is 3.5 m.",
        "The next (e.g. this) one?",
        "Yes!",
    ]


@pytest.mark.parametrize("text", ["a MAN is playing!", "Really. A man is playing. So there.", "man: a man is playing"])
def test_a_judged_sentence_is_found_in_any_dress(text):
    assert holds_judged(text, letters(text), {letters("A man is playing.")})


def test_other_text_is_kept():
    assert not holds_judged(
        "A man is playing chess.", letters("A man is playing chess."), {letters("A man is playing.")}
    )


def test_no_judged_set_is_read_for_training():
    assert not JUDGED_FOLDERS & {folder for folder, _, _ in SETS.values()}


def test_docstrings_of_held_out_packages_are_left_out():
    held_out = next(name for name in ("email", "logging", "json", "asyncio", "re") if is_held_out(package_of(name)))
    opening = (importlib.import_module(held_out).__doc__ or "").split("\n\n")[0]
    found = [text for _, text in docstring_texts(set())]
    assert len(found) > 1_000
    assert " ".join(opening.split())[:400] not in found


def test_a_missing_set_is_named(tmp_path):
    with pytest.raises(DataError, match=r"stsbenchmark\.tsv\.gz.*missing"):
        read_distillation_texts(tmp_path, limit=10)


@pytest.mark.slow
def test_no_judged_sentence_stands_in_the_training_text(shared_data):
    judged = judged_letters(shared_data)
    dataset = read_distillation_texts(shared_data, limit=20_000)
    texts = dataset.texts(range(dataset.inputs.num_rows))
    assert len(judged) > 50_000
    assert not [text for text in texts if letters(text) in judged]
