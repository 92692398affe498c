"""The encode driver: batches, duplicates, truncation and what it refuses."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.errors import Damaged, DataError, UsageError
from vecsmith.models.encode import encode, encode_counted, plan_batches
from vecsmith.models.load import load

sys.path.insert(0, str(Path(__file__).parent))
from tiny_bert import build, write_bert

ST_LIMIT = 2e-6


class Letters:
    """A stand-in model of width 3 (length, first letter, 1); a token is a character, and it remembers its batches."""

    dimension, is_unit = 3, False

    def __init__(self, limit: int | None = None, *, padded: bool = True) -> None:
        self.token_limit, self.is_padded, self.batches = limit, padded, []

    def prompt_for(self, role):
        return {"query": "q:", None: ""}[role]

    def count(self, texts, prompt):
        return np.array([len(prompt + text) for text in texts], dtype=np.int64)

    def embed(self, texts, prompt, role):
        self.batches.append([prompt + text for text in texts])
        seen = [(prompt + text)[: self.token_limit] for text in texts]
        return np.array([[len(text), ord((text or " ")[0]), 1] for text in seen], dtype=np.float32)

    def pieces(self, text, prompt):
        size = self.token_limit - len(prompt)
        return [(text[at : at + size], len(text[at : at + size])) for at in range(0, len(text), size)]


@pytest.fixture(scope="module")
def minilm(minilm_folder):
    return load(minilm_folder, device="cpu", on_truncation="cut")


@pytest.fixture(scope="module")
def expected(minilm_folder, texts):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm_folder), device="cpu").encode(texts)


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 200), st.floats(0, 1))
def test_every_plan_keeps_budget_and_waste_and_loses_no_row(counts, budget, waste):
    lengths = np.array(counts, dtype=np.int64)
    batches = plan_batches(lengths, token_budget=budget, waste_limit=waste)
    assert sorted(row for batch in batches for row in batch) == list(range(len(counts)))
    for batch in batches:
        longest = max(1, lengths[batch].max())
        if len(batch) > 1:
            assert len(batch) * longest <= budget
            assert 1 - lengths[batch].sum() / (len(batch) * longest) <= waste + 1e-9
    longest_first = [lengths[batch].max() for batch in batches]
    assert longest_first == sorted(longest_first, reverse=True)


def test_equal_lengths_make_full_batches():
    batches = plan_batches(np.full(10, 4), token_budget=16, waste_limit=0.0)
    assert [len(batch) for batch in batches] == [4, 4, 2]


@pytest.mark.parametrize(("budget", "waste"), [(1, 0.0), (40, 1.0), (300, 0.1), (8192, 0.2), (100_000, 1.0)])
def test_every_batching_path_gives_the_vectors_of_sentence_transformers(minilm, expected, texts, budget, waste):
    found = encode(minilm, texts, token_budget=budget, waste_limit=waste, on_truncation="cut")
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= ST_LIMIT


def test_the_methods_of_a_loaded_model_go_the_same_way(minilm, expected, texts):
    assert np.abs(minilm.encode(texts) - expected).max() <= ST_LIMIT
    assert np.abs(minilm.encode(texts, batch_size=2) - expected).max() <= ST_LIMIT
    assert np.abs(minilm.encode(texts, convert_to_tensor=True).numpy() - expected).max() <= ST_LIMIT
    assert np.abs(minilm.encode(texts[0]) - expected[0]).max() <= ST_LIMIT
    assert minilm.encode_query(texts[:2]).shape == (2, 384)


def test_an_iterable_and_a_list_give_the_same(minilm, texts):
    short = texts[:4]
    assert np.array_equal(encode(minilm, (text for text in short)), encode(minilm, short))


def test_each_distinct_input_is_encoded_once():
    model = Letters()
    found = encode_counted(model, ["a", "bb", "a", "a", "bb"], prompt="query")
    assert sorted(text for batch in model.batches for text in batch) == ["q:a", "q:bb"]
    assert found.vectors[:, 0].tolist() == [3, 4, 3, 3, 4]
    assert (found.counts.inputs, found.counts.distinct, found.counts.tokens) == (5, 2, 17)


@given(st.lists(st.text("ab", max_size=9), max_size=12), st.booleans(), st.integers(1, 30))
def test_rows_come_back_in_the_order_of_the_inputs(inputs, padded, budget):
    found = encode(Letters(padded=padded), inputs, token_budget=budget)
    assert found.shape == (len(inputs), 3)
    assert found[:, 0].tolist() == [len(text) for text in inputs]


def test_cut_inputs_are_counted_and_said(caplog):
    with caplog.at_level(logging.WARNING, logger="vecsmith"):
        found = encode_counted(Letters(4), ["abcdefg", "ab", "abcdefg"])
    assert (found.counts.truncated, found.counts.longest) == (2, 7)
    assert "2 of 3 inputs are longer than 4 tokens (the longest has 7) and were cut" in caplog.text
    caplog.clear()
    encode(Letters(4), ["abcdefg"], on_truncation="cut")
    assert caplog.text == ""


def test_a_progress_gets_the_warning_instead_of_the_log(caplog):
    import io

    from vecsmith.progress import JsonEvents

    stream = io.StringIO()
    encode(Letters(4), ["abcdefg"], progress=JsonEvents(stream))
    assert "1 of 1 inputs are longer" in stream.getvalue()
    assert caplog.text == ""


def test_too_long_an_input_is_refused_with_its_row_where_asked():
    with pytest.raises(DataError, match=r"row 2: the input has 7 tokens, the model keeps 4; 2 inputs are too long"):
        encode(Letters(4), ["ab", "abcdefg", "abcdefg"], on_truncation="error")
    assert len(encode(Letters(4), ["ab"], on_truncation="error")) == 1


def test_chunks_are_averaged_by_their_tokens():
    # "abcdefg" is cut into "abcd" and "efg": (4 * 4 + 3 * 3) / 7 long, first letter (4 * 97 + 3 * 101) / 7.
    found = encode(Letters(4), ["x", "abcdefg"], on_truncation="chunk")
    assert found[0].tolist() == [1, ord("x"), 1]
    assert found[1].tolist() == pytest.approx([25 / 7, (4 * 97 + 3 * 101) / 7, 1])


def test_chunks_of_a_real_model_are_of_unit_length_and_read_the_end(minilm):
    start = "The stone bridge crosses the river near the mill. " * 40
    both = [start + "Dinosaurs died out.", start + "Interest rates rose."]
    cut = encode(minilm, both, on_truncation="cut")
    chunked = encode(minilm, [*both, "short"], on_truncation="chunk")
    assert np.abs(cut[0] - cut[1]).max() <= ST_LIMIT
    assert np.abs(chunked[0] - chunked[1]).max() > 1e-3
    assert np.linalg.norm(chunked, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.abs(chunked[2] - encode(minilm, ["short"])[0]).max() <= ST_LIMIT


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (["a", None], "row 2: a NoneType where text is expected"),
        ([b"a"], "row 1: a bytes where text is expected"),
        (["a", "b", "c \ud800"], "row 3: character 3 is half of a surrogate pair"),
    ],
)
def test_what_is_no_text_is_named_by_row(inputs, words):
    with pytest.raises(DataError, match=words):
        encode(Letters(), inputs)


def test_one_text_instead_of_a_list_is_refused():
    with pytest.raises(UsageError, match=r'pass a list of texts: \["..."\]'):
        encode(Letters(), "text")


@pytest.mark.parametrize("options", [{"token_budget": 0}, {"waste_limit": 1.5}, {"on_truncation": "maybe"}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError):
        encode(Letters(), ["a"], **options)


def test_a_vector_with_nan_is_never_returned():
    class Broken(Letters):
        def embed(self, texts, prompt, role):
            vectors = super().embed(texts, prompt, role)
            vectors[-1, 0] = np.nan
            return vectors

    with pytest.raises(Damaged, match=r"the vector of 'b' has NaN or infinity"):
        encode(Broken(padded=False), ["a", "b"])


def test_nothing_in_is_nothing_out(minilm):
    assert encode(minilm, []).shape == (0, 384)
    assert encode_counted(Letters(4), []).counts.truncated == 0


def test_a_cut_width_is_of_unit_length_again(minilm_folder, texts):
    from sentence_transformers import SentenceTransformer

    narrow = load(minilm_folder, device="cpu", truncate_dim=64, on_truncation="cut")
    plain = SentenceTransformer(str(minilm_folder), device="cpu", truncate_dim=64)
    found = narrow.encode(texts[:6])
    assert np.abs(found - plain.encode(texts[:6], normalize_embeddings=True)).max() <= ST_LIMIT
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(6), abs=1e-5)


def test_a_text_without_any_token_is_zeros_and_leaves_its_neighbours_alone(minilm_folder, tmp_path):
    from sentence_transformers import SentenceTransformer
    from tokenizers.processors import TemplateProcessing

    build(write_bert(tmp_path / "bert", minilm_folder)).save(str(tmp_path / "model"))
    plain, ours = SentenceTransformer(str(tmp_path / "model"), device="cpu"), load(tmp_path / "model", device="cpu")
    for each in (plain, ours):  # a tokenizer that adds no special tokens, as many decoders have
        each.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    texts = ["a cat", "", "the dog runs"]
    assert np.abs(ours.encode(texts) - plain.encode(texts)).max() <= ST_LIMIT
    assert not ours.encode(["", ""]).any()  # plain sentence-transformers stops at a batch without any token
