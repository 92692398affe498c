"""The recipes lg_anna and llm_embedder load with every profile, say what the papers say, and run."""

import json

import numpy as np
import pytest

from vecsmith.training.fit import fit
from vecsmith.training.recipe import load_recipe

TASKS = ("qa", "icl", "chat", "lrlm", "convsearch", "tool")


@pytest.mark.parametrize("profile", [*TASKS, "paper"])
def test_every_task_of_llm_embedder_opens_both_sides_with_its_own_words(profile):
    recipe = load_recipe("llm_embedder", profile=profile)
    assert set(recipe.prompts) == {"query", "document"}
    assert all(each.endswith(": ") for each in recipe.prompts.values())


def test_the_six_tasks_have_twelve_different_instructions_and_the_losses_of_the_paper():
    recipes = {task: load_recipe("llm_embedder", profile=task) for task in TASKS}
    assert len({text for recipe in recipes.values() for text in recipe.prompts.values()}) == 12
    losses = {task: recipe.stages[0].objective["retrieval"] for task, recipe in recipes.items()}
    assert losses["qa"] == [{"graded_distillation": {"temperature": 0.01}}]
    assert losses["icl"] == [{"graded_distillation": {"temperature": 0.01, "positive_first": False}}]
    kl = {"temperature": 0.01, "teacher_temperature": 0.1}
    assert losses["chat"] == [{"soft_labels": kl}, {"info_nce": {"temperature": 0.01, "weight": 0.2}}]
    assert losses["lrlm"][0] == {"soft_labels": {**kl, "reward_spread": 0.1}}
    assert losses["convsearch"] == losses["tool"] == [{"info_nce": {"temperature": 0.01}}]


@pytest.mark.parametrize("profile", ["minilm", "paper"])
def test_lg_anna_shows_examples_where_the_model_can_read_them(profile):
    recipe = load_recipe("lg_anna", profile=profile)
    options = recipe.data[0].in_context
    assert options["task"] in recipe.prompts["query"]
    assert options["room"] < recipe.model.max_seq_length
    assert load_recipe("lg_anna").data[0].in_context is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lg_anna", "llm_embedder"])
def test_the_default_profile_runs_on_real_questions(shared_data, tmp_path, name):
    recipe = load_recipe(name, overrides=["stages.0.train.num_train_epochs=1"], data_root=shared_data)
    fit(recipe, output=tmp_path / "out")
    stage = json.loads((tmp_path / "out" / "training.json").read_text())["stages"][0]
    assert stage["steps"] == 13
    assert np.isfinite(stage["loss"])
