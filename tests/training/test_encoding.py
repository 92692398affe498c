"""Gradient caching equals the plain step, on flat and padded features, with dropout too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import _create_minibatch

from vecsmith.data.batch import Batch
from vecsmith.data.columns import RecordColumns
from vecsmith.data.sampler import Draw
from vecsmith.models.packed import can_pack, packed_forward, unpadded_ids
from vecsmith.objectives.info_nce import info_nce
from vecsmith.training.collate import Collator, TrainingSet
from vecsmith.training.encoding import EncodedLoss, shard, with_lengths, without_lengths


def a_batch(model, dataset, rows=24):
    columns = RecordColumns(dataset)
    collate = Collator([TrainingSet(dataset, columns)], model)
    return Batch.from_dict(collate(Draw(0, np.arange(rows), 0)))


def gradients(model, batch, chunk, scale=1.0):
    model.zero_grad()
    loss = EncodedLoss(model, info_nce, chunk)
    value = loss(batch)
    (value * scale).backward()
    return value.item(), {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


def assert_equal(here, there, tolerance=1e-5):
    assert here[0] == pytest.approx(there[0], abs=tolerance)
    assert here[1].keys() == there[1].keys()
    for name, gradient in here[1].items():
        assert torch.allclose(gradient, there[1][name], atol=tolerance * max(1.0, float(gradient.abs().max()))), name


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_caching_over_flat_features_gives_the_gradient_of_the_whole_batch(static_model, dataset, chunk):
    batch = a_batch(static_model, dataset)
    assert_equal(gradients(static_model, batch, None, 0.5), gradients(static_model, batch, chunk, 0.5))


@pytest.mark.parametrize("chunk", [3, 16])
def test_caching_over_padded_features_gives_the_gradient_of_the_whole_batch(transformer_folder, dataset, chunk):
    model = SentenceTransformer(str(transformer_folder), device="cpu").eval()  # no dropout
    batch = a_batch(model, dataset)
    assert_equal(gradients(model, batch, None), gradients(model, batch, chunk))


def test_with_dropout_caching_equals_an_uncached_run_over_the_same_mini_batches(transformer_folder, dataset):
    model = SentenceTransformer(str(transformer_folder), device="cpu").train()
    batch, chunk = a_batch(model, dataset), 7
    torch.manual_seed(5)
    cached = gradients(model, batch, chunk)
    torch.manual_seed(5)
    model.zero_grad()
    sides = []
    for block in (batch.queries, batch.documents):
        pieces = [_create_minibatch(dict(block.features), at, at + chunk) for at in range(0, len(block), chunk)]
        rows = [packed_forward(model, unpadded_ids(piece))["sentence_embedding"] for piece in pieces]
        sides.append(torch.cat(rows))
    value = info_nce(*sides, batch).value
    value.backward()
    plain = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    assert_equal(cached, (value.item(), plain))


def test_padding_is_left_out_and_the_gradient_stays_that_of_the_padded_batch(transformer_folder, dataset):
    model = SentenceTransformer(str(transformer_folder), device="cpu").eval()
    batch = a_batch(model, dataset)
    assert can_pack(model)
    packed = gradients(model, batch, None)
    model.zero_grad()
    sides = [model(dict(block.features))["sentence_embedding"] for block in (batch.queries, batch.documents)]
    value = info_nce(*sides, batch).value
    value.backward()
    padded = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    assert_equal(packed, (value.item(), padded))


def test_flat_features_survive_the_form_that_the_engine_cuts():
    features = {"input_ids": torch.tensor([4, 5, 6, 7]), "offsets": torch.tensor([0, 2, 2])}
    again = without_lengths(with_lengths(features))
    assert again["input_ids"].tolist() == [4, 5, 6, 7]
    assert again["offsets"].tolist() == [0, 2, 2]
    chunk = without_lengths(_create_minibatch(with_lengths(features), 1, 3))
    assert (chunk["input_ids"].tolist(), chunk["offsets"].tolist()) == ([6, 7], [0, 0])


def test_shares_of_ranks_cover_everything_once():
    for total in range(1, 12):
        for ranks in (1, 2, 3, 5):
            covered = [place for rank in range(ranks) for place in range(total)[shard(total, rank, ranks)]]
            assert covered == list(range(total))


def test_tokens_of_a_static_model_are_made_once_and_equal_its_own(static_model, dataset):
    columns = RecordColumns(dataset)
    collate = Collator([TrainingSet(dataset, columns)], static_model)
    first = collate(Draw(0, np.arange(10), 0))["documents"]
    again = collate(Draw(0, np.arange(10), 0))["documents"]
    own = static_model.preprocess(dataset.texts(first["rows"].numpy()))
    for name in ("input_ids", "offsets"):
        assert torch.equal(first["features"][name], own[name])
        assert torch.equal(again["features"][name], own[name])


def test_a_prompt_is_put_in_front_of_its_side_only(static_model, dataset):
    collate = Collator([TrainingSet(dataset, RecordColumns(dataset))], static_model, prompts={"query": "the "})
    made = collate(Draw(0, np.arange(4), 0))
    texts = dataset.texts(made["queries"]["rows"].numpy())
    own = static_model.preprocess([f"the {text}" for text in texts])
    assert torch.equal(made["queries"]["features"]["input_ids"], own["input_ids"])


def test_objectives_see_vectors_from_before_the_normalize_module(transformer_folder, dataset):
    from vecsmith.training.trainer import keep_vectors_before_normalize

    model = SentenceTransformer(str(transformer_folder), device="cpu").eval()
    batch, norms = a_batch(model, dataset), []

    def look(queries, documents, batch):
        norms.append(queries.norm(dim=1))
        return info_nce(queries, documents, batch)

    hooks = keep_vectors_before_normalize(model)
    EncodedLoss(model, look)(replace(batch))
    for hook in hooks:
        hook.remove()
    EncodedLoss(model, look)(replace(batch))
    assert not torch.allclose(norms[0], torch.ones_like(norms[0]), atol=1e-2)
    assert torch.allclose(norms[1], torch.ones_like(norms[1]), atol=1e-5)
