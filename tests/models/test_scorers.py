"""Teachers by kind: a cross-encoder's logits, an embedder's cosines, and the dataset they fill."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vecsmith.data.dataset import Dataset
from vecsmith.errors import ContractError, DataError, UsageError
from vecsmith.models import scorers
from vecsmith.models.cross_encoder import CrossEncoderScorer
from vecsmith.models.load import load
from vecsmith.models.scorers import EmbedderScorer, answers_of, open_scorer, score_dataset

sys.path.insert(0, str(Path(__file__).parent))
from tiny_bert import write_bert
from tiny_lm import write_lm

PAIRS = [
    ("how do I reset the router?", "Hold the small button for ten seconds."),
    ("how do I reset the router?", "A stone bridge crosses the river. " * 9),
    ("where", "naïve Übergröße 東京"),
    ("", "an empty query"),
    ("the cat sat on the warm wall " * 3, "word"),
    ("where", "Hold the small button for ten seconds."),
]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory, minilm_folder):
    return write_cross_encoder(tmp_path_factory.mktemp("cross"), minilm_folder)


def write_cross_encoder(folder, tokenizer, outputs=1, length=48):
    from sentence_transformers import CrossEncoder

    bert = write_bert(folder / "bert", tokenizer)
    torch.manual_seed(3)
    model = CrossEncoder(str(bert), num_labels=outputs, max_length=length, device="cpu")
    model.save_pretrained(str(folder / "model"))
    return folder / "model"


def records():
    with Dataset.build(name="faq") as builder:
        builder.add_record(
            query="reset?", positives=["Hold the button."], negatives=["A bridge.", "A cat."], label="yes"
        )
        builder.add_record(query="where?", positives=["A bridge."], negatives=["A cat."], label="there")
        return builder.finish()


# cross-encoder


def test_logits_are_those_of_one_pair_at_a_time_in_the_pairs_order(cross_encoder):
    from torch.nn import Identity

    scorer = CrossEncoderScorer(cross_encoder)
    alone = [
        float(scorer.model.predict([pair], activation_fn=Identity(), show_progress_bar=False)[0]) for pair in PAIRS
    ]
    assert np.ptp(alone) > 1e-3  # a model that gives everything the same number would pass whatever the order
    for budget in (1, 96, 100_000):
        found = CrossEncoderScorer(cross_encoder, token_budget=budget)(PAIRS)
        assert found.tolist() == pytest.approx(alone, abs=1e-4)
    order = random.Random(5).sample(range(len(PAIRS)), len(PAIRS))
    shuffled = scorer([PAIRS[row] for row in order])
    assert shuffled.tolist() == pytest.approx([alone[row] for row in order], abs=1e-4)


def test_pairs_longer_than_it_reads_are_counted(cross_encoder):
    scorer = CrossEncoderScorer(cross_encoder)
    scorer(PAIRS)
    tokens = [len(scorer.model.tokenizer(*pair)["input_ids"]) for pair in PAIRS]
    assert scorer.cut == sum(count > 48 for count in tokens) == 1
    scorer([("word", "word " * 44)])  # with [CLS] and two [SEP] exactly what it reads
    assert scorer.cut == 1
    assert scorer([]).shape == (0,)


def test_what_is_no_teacher_is_refused(cross_encoder, tmp_path, minilm_folder):
    with pytest.raises(UsageError, match="no folder of a cross-encoder: it has no config"):
        CrossEncoderScorer(tmp_path / "nothing")
    with pytest.raises(UsageError, match="token_budget is 0"):
        CrossEncoderScorer(cross_encoder, token_budget=0)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text((cross_encoder / "config.json").read_text())
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ContractError, match="has no safetensors; pickled weights can run code"):
        CrossEncoderScorer(tmp_path / "pickled")
    (tmp_path / "three").mkdir()
    with pytest.raises(ContractError, match="gives 3 numbers per pair; a teacher gives one"):
        CrossEncoderScorer(write_cross_encoder(tmp_path / "three", minilm_folder, outputs=3))


def test_a_folder_that_brings_code_is_not_run(cross_encoder, tmp_path):
    import json
    import shutil

    shutil.copytree(cross_encoder, tmp_path / "coded")
    (tmp_path / "coded" / "bad.py").write_text("raise SystemExit('ran')")
    file = tmp_path / "coded" / "config.json"
    config = json.loads(file.read_text()) | {"auto_map": {"AutoModelForSequenceClassification": "bad.Model"}}
    config["model_type"] = "unknown-to-all"
    file.write_text(json.dumps(config))
    with pytest.raises(ContractError, match="is no cross-encoder"):
        CrossEncoderScorer(tmp_path / "coded")


# embedder


def test_an_embedder_gives_the_cosine_of_query_and_document():
    model = load("default")
    found = EmbedderScorer(model, name="default")(PAIRS[:3])
    for (query, document), score in zip(PAIRS[:3], found, strict=True):
        left, right = model.encode_query(query), model.encode_document(document)
        assert score == pytest.approx(float(left @ right / np.linalg.norm(left) / np.linalg.norm(right)), abs=1e-5)


def test_each_distinct_text_of_a_side_is_encoded_once(monkeypatch):
    asked = []
    true = scorers.encode_counted

    def noting(model, texts, **options):
        asked.extend((options["prompt"], text) for text in texts)
        return true(model, texts, **options)

    monkeypatch.setattr(scorers, "encode_counted", noting)
    scorer = EmbedderScorer(load("default"), name="default")
    pairs = [PAIRS[0], PAIRS[1], PAIRS[2], PAIRS[5], (PAIRS[0][1], PAIRS[0][1])]
    together = scorer(pairs)
    again = np.concatenate([scorer([pair]) for pair in pairs])
    assert len(asked) == len(set(asked)) == 6
    assert together.tolist() == pytest.approx(again.tolist(), abs=1e-12)


def test_a_text_without_direction_is_named():
    with pytest.raises(ContractError, match='"" has a vector of length 0'):
        EmbedderScorer(Nothing(), name="nothing")([("", "a")])


class Nothing:
    """A model whose vectors are zero."""

    dimension, token_limit, is_padded, is_unit = 2, None, False, False

    def prompt_for(self, role):
        return ""

    def embed(self, texts, prompt, role):
        return np.zeros((len(texts), 2), dtype=np.float32)


# datasets


def test_a_dataset_is_scored_by_every_kind(cross_encoder, tmp_path):
    lm = write_lm(tmp_path / "lm")
    for kind, teacher in (("cross-encoder", cross_encoder), ("embedder", "default"), ("likelihood", lm)):
        filled = score_dataset(records(), teacher, kind=kind, folder=tmp_path / kind)
        scorer = open_scorer(
            teacher, kind=kind, answers=answers_of(records(), "positives") if kind == "likelihood" else None
        )
        expected = scorer([("reset?", "Hold the button."), ("reset?", "A bridge."), ("reset?", "A cat.")])
        assert filled.records["teacher_scores"].to_pylist()[0] == pytest.approx(expected.tolist(), abs=1e-4)
        assert len(filled.records["teacher_scores"].to_pylist()[1]) == 2


def test_answers_come_from_positives_labels_or_the_caller(tmp_path):
    data = records()
    assert answers_of(data, "positives") == {"reset?": "Hold the button.", "where?": "A bridge."}
    assert answers_of(data, "labels") == {"reset?": "yes", "where?": "there"}
    lm = write_lm(tmp_path / "lm")
    one = score_dataset(data, lm, kind="likelihood", folder=tmp_path / "s", answers="labels")
    two = score_dataset(
        data, lm, kind="likelihood", folder=tmp_path / "s", answers={"reset?": "yes", "where?": "there"}
    )
    assert one.records.equals(two.records)


def test_a_record_without_an_answer_is_named():
    with Dataset.build(name="faq") as builder:
        builder.add_record(query="a", positives=["b"], label="yes")
        builder.add_record(query="c", negatives=["b"])
        data = builder.finish()
    with pytest.raises(DataError, match="record 2 of faq has no positive"):
        answers_of(data, "positives")
    with pytest.raises(DataError, match="record 2 of faq has no label"):
        answers_of(data, "labels")


def test_contradictions_are_refused(tmp_path):
    with pytest.raises(
        UsageError, match='"bi-encoder" is no kind of teacher; known: cross-encoder, embedder, likelihood'
    ):
        score_dataset(records(), "default", kind="bi-encoder", folder=tmp_path / "s")
    with pytest.raises(UsageError, match="answers belong to the kind likelihood"):
        score_dataset(records(), "default", kind="embedder", folder=tmp_path / "s", answers="labels")
    with pytest.raises(UsageError, match="a likelihood is one of an answer"):
        open_scorer("smol", kind="likelihood")
    with pytest.raises(UsageError, match='answers come from "positives" or "labels"'):
        answers_of(records(), "scores")
