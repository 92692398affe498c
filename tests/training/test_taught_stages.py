"""Stages with the taught objectives run from recipe to model, whole and with cached gradients, or say what lacks."""

import json

import numpy as np
import pytest

from vecsmith.data.dataset import Dataset
from vecsmith.errors import RecipeError
from vecsmith.training.fit import fit
from vecsmith.training.recipe import load_recipe

RECIPE = """\
name: taught
seed: 1
stages:
  - objective: {objective}
    train: {{per_device_train_batch_size: 16, max_steps: 6, learning_rate: 0.02}}
    {more}
"""
LISTS = [
    "retrieval: [{info_nce: {temperature: 0.05}}, {soft_labels: {weight: 0.5, temperature: 0.1}}]",
    "retrieval: [{graded_distillation: {temperature: 0.05, teacher_temperature: {from: 1.0, to: 0.1}}}]",
    "retrieval: [margin_mse]",
    "retrieval: [{stock_loss: {name: MarginMSELoss}}]",
    "retrieval: [{stock_loss: {name: MultipleNegativesRankingLoss, options: {scale: 10.0}}}]",
]
PAIRS = [
    "scored: [cosent, {angle: {weight: 0.1}}]",
    "scored: [{stock_loss: {name: CosineSimilarityLoss}}]",
]


@pytest.fixture
def lists(dataset):
    """The docstrings with one to three negatives each and seeded scores of a teacher."""
    rng, texts = np.random.default_rng(0), dataset.texts(np.arange(len(dataset.inputs)))
    with Dataset.build(name="lists") as builder:
        for record in dataset.records.to_pylist()[:96]:
            positives = [texts[place] for place in record["positives"]]
            negatives = [texts[place] for place in rng.integers(len(texts), size=1 + len(positives[0]) % 3)]
            negatives = [each for each in dict.fromkeys(negatives) if each not in (*positives, texts[record["query"]])]
            builder.add_record(
                query=texts[record["query"]],
                positives=positives,
                negatives=negatives,
                teacher_scores=rng.random(len(positives) + len(negatives)).tolist(),
            )
        return builder.finish()


@pytest.fixture
def graded(dataset):
    rng, texts = np.random.default_rng(0), dataset.texts(np.arange(len(dataset.inputs)))
    with Dataset.build(name="graded") as builder:
        for record in dataset.records.to_pylist()[:96]:
            builder.add_record(
                query=texts[record["query"]],
                positives=[texts[record["positives"][0]]],
                scores=[float(rng.integers(0, 5)) / 4],
                kind="scored",
            )
        return builder.finish()


def loss_of(write_recipe, output, objective, data, model, more=""):
    recipe = load_recipe(write_recipe(RECIPE.format(objective="{" + objective + "}", more=more)))
    fit(recipe, data={"set": data}, output=output, model=model)
    return json.loads((output / "training.json").read_text())["stages"][0]["loss"]


@pytest.mark.parametrize("objective", LISTS)
def test_a_stage_of_own_lists_trains_whole_and_with_cached_gradients_alike(
    write_recipe, lists, static_model, tmp_path, objective
):
    import copy

    other = copy.deepcopy(static_model)
    whole = loss_of(write_recipe, tmp_path / "whole", objective, lists, static_model)
    cached = loss_of(write_recipe, tmp_path / "cached", objective, lists, other, more="cache: 7")
    assert np.isfinite(whole)
    assert cached == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("objective", PAIRS)
def test_a_stage_of_graded_pairs_trains(write_recipe, graded, static_model, tmp_path, objective):
    assert np.isfinite(loss_of(write_recipe, tmp_path / "out", objective, graded, static_model))


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("retrieval: [soft_labels]", "soft_labels needs teacher scores"),
        ("retrieval: [graded_distillation]", "graded_distillation needs teacher scores"),
        ("retrieval: [{stock_loss: {name: TripletLoss}}]", "TripletLoss needs negatives"),
        ("retrieval: [{stock_loss: {name: SoftmaxLoss}}]", "stock_loss cannot run SoftmaxLoss: it has a classifier"),
        ("retrieval: [cosent]", "cosent needs scores"),
    ],
)
def test_what_the_data_lack_is_said_before_training(write_recipe, dataset, static_model, tmp_path, objective, words):
    with pytest.raises(RecipeError, match=f"line 4: .*{words}"):
        loss_of(write_recipe, tmp_path / "out", objective, dataset, static_model)
