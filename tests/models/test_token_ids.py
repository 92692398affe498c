"""Texts become the ids that the model's own preprocessing makes, once; who cannot be matched keeps its own way."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from vecsmith.models.encode import encode, encode_counted, plan_rows
from vecsmith.models.load import load
from vecsmith.models.token_ids import exact_ids

LIMIT = 2e-6


@pytest.fixture(scope="module")
def stock(minilm_folder):
    return SentenceTransformer(str(minilm_folder), device="cpu")


@pytest.fixture(scope="module")
def model(minilm_folder):
    return load(minilm_folder, device="cpu", on_truncation="cut")


def same_features(stock, texts, prompt=""):
    exact = exact_ids(stock)
    tokens = exact.tokens(texts, prompt)
    expected = stock.preprocess(texts, prompt=prompt or None)
    made = exact.padded(tokens.of(np.arange(len(texts))))
    return all(torch.equal(made[name], expected[name]) for name in ("input_ids", "attention_mask", "token_type_ids"))


def test_ids_are_those_of_the_model_itself(stock, texts):
    assert same_features(stock, texts)
    assert same_features(stock, texts, "query: ")
    assert same_features(stock, texts, "a prompt that ends inside a wor")


@given(st.lists(st.text(max_size=300), min_size=1, max_size=4))
def test_ids_are_those_of_the_model_itself_for_any_text(stock, drawn):
    assert same_features(stock, [text.encode("utf-8", "ignore").decode() for text in drawn])


def test_long_texts_are_cut_as_the_model_cuts_and_counted_whole(stock):
    texts = ["word " * size for size in (253, 254, 255, 400, 5_000)]
    assert same_features(stock, texts)
    tokens = exact_ids(stock).tokens(texts, "")
    assert tokens.counts.tolist() == [255, 256, 257, 402, 5_002]
    assert tokens.lengths.tolist() == [255, 256, 256, 256, 256]


def test_another_limit_is_obeyed_at_once(minilm_folder):
    stock = SentenceTransformer(str(minilm_folder), device="cpu")
    assert exact_ids(stock).tokens(["word " * 90], "").lengths.tolist() == [92]
    stock.max_seq_length = 16
    assert exact_ids(stock).tokens(["word " * 90], "").lengths.tolist() == [16]
    assert same_features(stock, ["word " * 90, "short"])


@pytest.mark.parametrize("change", ["left padding", "left truncation", "processing", "document length"])
def test_preprocessing_that_is_not_matched_keeps_its_own_way(minilm_folder, texts, change):
    stock = SentenceTransformer(str(minilm_folder), device="cpu")
    assert exact_ids(stock) is not None
    if change == "left padding":
        stock.tokenizer.padding_side = "left"
    elif change == "left truncation":
        stock.tokenizer.truncation_side = "left"
    elif change == "processing":
        stock[0].processing_kwargs = {"text": {"max_length": 9}}
    else:
        stock[0].document_length = 9
    assert exact_ids(stock) is None
    if change == "left padding":  # moves BERT's positions: even alone, a vector depends on the batch it came in
        texts = texts[:1]
    found = encode(stock, texts, prompt="document", on_truncation="cut")
    assert np.abs(found - stock.encode(texts, task="document")).max() <= LIMIT


def test_tokens_added_later_are_known(minilm_folder):
    stock = SentenceTransformer(str(minilm_folder), device="cpu")
    before = exact_ids(stock).tokens(["a zorblax here"], "")
    stock.tokenizer.add_tokens(["zorblax"])
    after = exact_ids(stock).tokens(["a zorblax here"], "")
    assert len(after.flat) < len(before.flat)
    assert same_features(stock, ["a zorblax here", "Zorblax"])


def test_prompts_left_out_of_the_mean_are_left_out(minilm_folder, texts):
    stock = SentenceTransformer(str(minilm_folder), device="cpu")
    stock[1].include_prompt = False
    for prompt in ("query: ", ""):
        found = encode(stock, texts, prompt_text=prompt, on_truncation="cut")
        assert np.abs(found - stock.encode(texts, prompt=prompt or None)).max() <= LIMIT


@pytest.mark.parametrize("kind", ["bert", "mpnet", "distilbert", "modernbert"])
def test_other_architectures_come_out_of_the_driver_as_from_their_own_encode(
    tmp_path, minilm_folder, small_model, texts, kind
):
    stock = small_model(tmp_path, kind, minilm_folder, vocab_size=30_522, pad_token_id=0)
    found, expected = encode(stock, texts, on_truncation="cut"), stock.encode(texts)
    assert np.abs(found - expected).max() <= LIMIT * max(1.0, np.abs(expected).max())


def test_one_text_gives_one_vector(model, stock):
    for text in ("a text", "", "word " * 400):
        found = model.encode(text)
        assert found.shape == (384,)
        assert found.dtype == np.float32
        assert np.abs(found - stock.encode(text)).max() <= LIMIT
    assert model.encode_query("a text").shape == (384,)


def test_options_of_encode_keep_their_meaning(model, stock, texts):
    tensor = model.encode(texts, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    assert np.abs(tensor.numpy() - stock.encode(texts)).max() <= LIMIT
    assert model.encode("a text", convert_to_tensor=True).shape == (384,)
    assert np.allclose(np.linalg.norm(model.encode(texts, normalize_embeddings=True), axis=1), 1, atol=1e-6)
    several = model.encode(texts[:2], convert_to_numpy=False)
    assert isinstance(several, list)
    assert all(isinstance(each, torch.Tensor) for each in several)
    assert len(model.encode([])) == 0
    assert model.encode(np.array(texts[:3])).shape == (3, 384)
    assert model.encode(texts[:2], precision="binary").dtype == np.int8


def test_copies_are_tokenised_and_encoded_once_and_stand_in_order(model, stock, texts):
    job = [*texts, *reversed(texts)]
    found = encode_counted(model, job, on_truncation="cut")
    assert found.counts.distinct == len(set(texts))
    assert np.abs(found.vectors - stock.encode(job)).max() <= LIMIT


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 200))
def test_every_plan_of_rows_keeps_its_budget_and_loses_no_text(counts, budget):
    lengths = np.array(counts, dtype=np.int64)
    batches = plan_rows(lengths, token_budget=budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(counts)))
    assert all(len(batch) == 1 or lengths[batch].sum() <= budget for batch in batches)
    longest = [lengths[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True)
