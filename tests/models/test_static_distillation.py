"""The start of a static model: vocabulary, principal components, weights; against slow references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from vecsmith.errors import NotEnoughData, UsageError
from vecsmith.models.static_distillation import choose_vocabulary, count_pieces, cut_tokenizer, start_weights

PIECES = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "a", "b", "##a", "##b", "ab", "##ab", "é", "語", "λ"]


def word_piece(pieces: list[str] = PIECES) -> Tokenizer:
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]"])
    return tokenizer


def slow_start(vectors: np.ndarray, counts: np.ndarray, dimension: int, smoothing: float) -> np.ndarray:
    """By singular values of the seen rows, then one row after the other."""
    seen = [row for row, count in zip(vectors.astype(float), counts, strict=True) if count]
    mean = sum(seen) / len(seen)
    _, _, directions = np.linalg.svd(np.array([row - mean for row in seen]))
    result = np.zeros((len(vectors), dimension))
    for place, (row, count) in enumerate(zip(vectors.astype(float), counts, strict=True)):
        weight = smoothing / (smoothing + count / counts.sum())
        for turn in range(dimension):
            result[place, turn] = weight * float((row - mean) @ directions[turn])
    return result


def test_every_ascii_character_and_the_most_frequent_pieces_stay():
    counts = np.array([0, 9, 0, 9, 0, 0, 0, 0, 5, 0, 3, 9, 1])
    kept = [PIECES[number] for number in choose_vocabulary(PIECES, counts, size=8)]
    assert kept == ["[PAD]", "[UNK]", "a", "b", "##a", "##b", "ab", "é"]


def test_unused_places_and_other_scripts_never_stay():
    kept = {PIECES[number] for number in choose_vocabulary(PIECES, np.full(len(PIECES), 7), size=100)}
    assert kept == set(PIECES) - {"[unused0]", "[CLS]", "語"}


def test_counts_of_another_length_are_refused():
    with pytest.raises(ValueError, match="13 pieces and 2 counts"):
        choose_vocabulary(PIECES, np.array([1, 2]), size=3)


def test_a_word_without_its_piece_is_spelled_by_shorter_ones():
    kept = [PIECES.index(piece) for piece in ("[PAD]", "[UNK]", "a", "##b")]
    tokenizer = cut_tokenizer(word_piece(), kept)
    assert tokenizer.encode("AB").tokens == ["a", "##b"]
    assert tokenizer.encode("ab ba").ids == [2, 3, 1]
    assert tokenizer.get_vocab_size() == 4


def test_a_full_vocabulary_cuts_nothing():
    before, after = word_piece(), cut_tokenizer(word_piece(), range(len(PIECES)))
    for text in ("ab ba bab", "é λ x", ""):
        assert after.encode(text, add_special_tokens=False).ids == before.encode(text, add_special_tokens=False).ids


def test_another_kind_of_tokenizer_is_refused():
    with pytest.raises(UsageError, match="WordPiece only"):
        cut_tokenizer(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), [0])


def test_pieces_are_counted_over_all_texts():
    counts = count_pieces(word_piece(), iter(["ab a", "", "bab"]))
    assert {PIECES[number]: int(counts[number]) for number in counts.nonzero()[0]} == {
        "a": 1,
        "b": 1,
        "ab": 1,
        "##ab": 1,
    }


def test_no_text_has_no_pieces():
    assert count_pieces(word_piece(), []).sum() == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), dimension=st.integers(1, 4), smoothing=st.floats(1e-4, 1.0))
def test_agrees_with_singular_values_row_by_row(seed, dimension, smoothing):
    random = np.random.default_rng(seed)
    vectors = (random.normal(size=(12, 5)) * [16, 8, 4, 2, 1]).astype(np.float32)  # scales apart: directions are unique
    counts = random.integers(0, 50, size=12)
    counts[:6] += 1
    fast, slow = (
        start_weights(vectors, counts, dimension=dimension, smoothing=smoothing),
        slow_start(vectors, counts, dimension, smoothing),
    )
    # A direction has no sign of its own, so inner products are compared.
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast @ fast.T, slow @ slow.T, atol=1e-2, rtol=1e-4)


def test_a_shift_of_all_vectors_changes_no_similarity():
    vectors, counts = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32), np.arange(9)
    here, there = (start_weights(each, counts, dimension=2) for each in (vectors, vectors + 3))
    np.testing.assert_allclose(here @ here.T, there @ there.T, atol=1e-4)


def test_without_damping_a_frequent_piece_is_as_long_as_its_components():
    vectors, counts = np.eye(3, dtype=np.float32), np.array([98, 1, 1])
    damped, plain = (start_weights(vectors, counts, dimension=2, smoothing=a) for a in (0.01, 1e9))
    assert np.linalg.norm(damped[0]) / np.linalg.norm(plain[0]) == pytest.approx(0.01 / (0.01 + 0.98), rel=1e-4)


def test_more_dimensions_than_the_teacher_are_refused():
    with pytest.raises(ValueError, match="allow 1 to 3"):
        start_weights(np.eye(3, dtype=np.float32), np.ones(3, dtype=int), dimension=4)


def test_fewer_pieces_than_dimensions_are_refused():
    with pytest.raises(NotEnoughData, match="1 different pieces cannot give 2"):
        start_weights(np.eye(3, dtype=np.float32), np.array([5, 0, 0]), dimension=2)
