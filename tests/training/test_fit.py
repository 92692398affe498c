"""fit: what it leaves, that it resumes to the same weights, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from vecsmith.data.dataset import Dataset
from vecsmith.errors import Diverged, NotEnoughData, RecipeError, UsageError
from vecsmith.training.fit import fit
from vecsmith.training.recipe import load_recipe

STATIC = "0_StaticEmbedding/model.safetensors"


def weights(folder):
    file = next(each for each in Path(folder).rglob("model.safetensors"))
    return load_file(file)


def recipe(write_recipe, text, *overrides):
    return load_recipe(write_recipe(text), overrides=overrides)


def test_a_fit_leaves_a_model_that_plain_sentence_transformers_loads_and_all_that_made_it(
    write_recipe, recipe_text, static_model, dataset, tmp_path
):
    made = fit(
        recipe(write_recipe, recipe_text, "licence=mit"),
        data={"docstrings": dataset},
        output=tmp_path / "out",
        model=static_model,
        judge=lambda model: round(float(model.encode(["a"]).shape[1]), 1),
    )
    names = {each.name for each in made.iterdir()}
    assert {"modules.json", "embedding.json", "recipe.yaml", "recipe.lock.yaml", "README.md"} <= names
    texts = dataset.texts(np.arange(5))
    plain = SentenceTransformer(str(made), device="cpu").encode(texts)
    assert np.array_equal(plain, static_model.encode(texts))
    assert load_recipe(made / "recipe.yaml").to_yaml() == (made / "recipe.yaml").read_text()
    lock = yaml.safe_load((made / "recipe.lock.yaml").read_text())
    assert lock["data"]["docstrings"]["fingerprint"] == dataset.fingerprint()
    assert {"torch", "vecsmith", "sentence-transformers"} <= set(lock["versions"])
    card = (made / "README.md").read_text()
    assert "license: mit" in card
    assert "docstrings" in card
    assert json.loads((made / "training.json").read_text())["stages"][0]["judged"] == 16.0
    assert not list(tmp_path.glob(".out.run"))


def test_training_lowers_the_loss_and_brings_pairs_together(write_recipe, recipe_text, static_model, dataset, tmp_path):
    def rank(model):
        records = dataset.records.slice(0, 100)
        queries = dataset.texts(records["query"].to_numpy())
        texts = dataset.texts(np.array([row[0] for row in records["positives"].to_pylist()]))
        scores = model.similarity(model.encode(queries), model.encode(texts))
        return float((scores > scores.diag()[:, None]).sum(1).float().mean())

    before = rank(static_model)
    made = recipe(write_recipe, recipe_text, "stages.0.train.num_train_epochs=4", "stages.0.train.learning_rate=0.05")
    fit(made, data={"docstrings": dataset}, output=tmp_path / "out", model=static_model)
    assert rank(static_model) < 0.6 * before


def test_a_finished_run_is_left_alone_and_a_changed_recipe_refused_with_the_diff(
    write_recipe, recipe_text, static_model, dataset, tmp_path
):
    options = {"data": {"docstrings": dataset}, "output": tmp_path / "out", "model": static_model}
    fit(recipe(write_recipe, recipe_text), **options)
    marks = {each: each.stat().st_mtime_ns for each in (tmp_path / "out").rglob("*")}
    fit(recipe(write_recipe, recipe_text), **options)
    assert {each: each.stat().st_mtime_ns for each in (tmp_path / "out").rglob("*")} == marks
    changed = recipe(write_recipe, recipe_text, "seed=4")
    with pytest.raises(UsageError, match=r"(?s)-seed: 3\n\+seed: 4.*--force"):
        fit(changed, **options)
    fit(changed, **options, force=True)
    assert load_recipe(tmp_path / "out" / "recipe.yaml").seed == 4


def test_other_data_are_refused_by_name(write_recipe, recipe_text, static_model, dataset, tmp_path):
    options = {"output": tmp_path / "out", "model": static_model}
    fit(recipe(write_recipe, recipe_text), data={"docstrings": dataset}, **options)
    other = dataset.filter(records=np.arange(dataset.records.num_rows) < 50)
    with pytest.raises(UsageError, match="data that changed: docstrings"):
        fit(recipe(write_recipe, recipe_text), data={"docstrings": other}, **options)


def test_a_folder_of_something_else_is_never_written_into(write_recipe, recipe_text, static_model, dataset, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("do not lose me")
    with pytest.raises(UsageError, match="is no model of vecsmith train"):
        fit(recipe(write_recipe, recipe_text), data={"d": dataset}, output=tmp_path / "out", model=static_model)


@pytest.fixture
def scene(write_recipe, recipe_text, static_model, dataset, tmp_path):
    """What a training process in a test reads: recipe, data and start model on the disk."""
    text = recipe_text.replace("    train:", "    checkpoint_seconds: 0\n    train:")
    text = text.replace("num_train_epochs: 2", "num_train_epochs: 3")
    file = write_recipe(f"model: {{base: {tmp_path / 'start'}}}\ndata: [{{path: data}}]\n{text}")
    static_model.save(str(tmp_path / "start"))
    dataset.save(tmp_path / "data")
    return file


def process(file, output, *, ranks=0):
    code = (
        "import sys; from vecsmith.training.fit import fit; from vecsmith.training.recipe import load_recipe; "
        "fit(load_recipe(sys.argv[1]), output=sys.argv[2])"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning:vecsmith", "-c", code, str(file), str(output)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip


def test_a_killed_run_ends_at_the_weights_of_one_that_was_left_alone(scene, tmp_path):
    fit(load_recipe(scene), output=tmp_path / "whole")
    killed = process(scene, tmp_path / "out")
    stage = tmp_path / ".out.run" / "stage-0"
    until = time.monotonic() + 120
    while len(list(stage.glob("checkpoint-*/complete.json"))) < 2 and killed.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "out").exists()
    said = []
    fit(load_recipe(scene), output=tmp_path / "out", progress=Listener(said))
    assert any("going on from checkpoint-" in line for line in said)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "out")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


class Listener:
    def __init__(self, said):
        from vecsmith.progress import SILENT

        self.said, self.task = said, SILENT.task

    def say(self, text):
        self.said.append(text)


def test_an_interrupted_run_with_a_changed_recipe_is_refused_until_forced(scene, tmp_path):
    def interrupt(model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(load_recipe(scene), output=tmp_path / "out", judge=interrupt)
    changed = load_recipe(scene, overrides=["stages.0.train.max_steps=3"])
    with pytest.raises(UsageError, match=r"\+.*max_steps: 3"):
        fit(changed, output=tmp_path / "out")
    fit(changed, output=tmp_path / "out", force=True)
    assert json.loads((tmp_path / "out" / "training.json").read_text())["stages"][0]["steps"] == 3


def test_a_loss_of_nan_stops_with_step_dataset_and_records(write_recipe, recipe_text, static_model, dataset, tmp_path):
    with torch.no_grad():
        static_model[0].embedding.weight[5] = float("nan")
    with pytest.raises(Diverged, match=r"step \d+: the loss is nan on dataset docstrings, records \d+, ") as caught:
        fit(
            recipe(write_recipe, recipe_text), data={"docstrings": dataset}, output=tmp_path / "out", model=static_model
        )
    assert caught.value.dataset == "docstrings"
    assert len(caught.value.rows) == 16


def test_data_whose_rows_are_all_masked_stop_the_run_and_say_why(write_recipe, recipe_text, static_model, tmp_path):
    with Dataset.build(name="same") as builder:
        for number in range(64):
            builder.add_record(query=f"query {number}", positives=[f"text {number}"], group="one")
        same = builder.finish()
    with pytest.raises(NotEnoughData, match=r"dataset same: all rows masked: none of 16 rows .*by group"):
        fit(recipe(write_recipe, recipe_text), data={"same": same}, output=tmp_path / "out", model=static_model)


def test_data_without_an_objective_for_their_kind_are_refused_before_training(
    write_recipe, recipe_text, static_model, dataset, tmp_path
):
    text = recipe_text.replace("retrieval:", "class:")
    with pytest.raises(NotEnoughData, match="no positives to train on: its records are of kind retrieval"):
        fit(recipe(write_recipe, text), data={"d": dataset}, output=tmp_path / "out", model=static_model)


def test_a_stage_that_names_data_that_are_not_there_is_refused_with_its_line(
    write_recipe, recipe_text, static_model, dataset, tmp_path
):
    made = recipe(write_recipe, recipe_text.replace("    train:", "    data: [dokstrings]\n    train:"))
    with pytest.raises(RecipeError, match=r'line 7: no data set "dokstrings" \(there are: docstrings\)'):
        fit(made, data={"docstrings": dataset}, output=tmp_path / "out", model=static_model)


def test_no_data_at_all_is_an_error(write_recipe, recipe_text, static_model, tmp_path):
    with pytest.raises(RecipeError, match="no data"):
        fit(recipe(write_recipe, recipe_text), output=tmp_path / "out", model=static_model)


def test_an_unknown_training_argument_is_named_with_its_line(
    write_recipe, recipe_text, static_model, dataset, tmp_path
):
    made = recipe(write_recipe, recipe_text.replace("learning_rate", "learning_rat"))
    with pytest.raises(
        RecipeError, match=r'line 7: unknown key "learning_rat" in train; did you mean "learning_rate"\?'
    ):
        fit(made, data={"d": dataset}, output=tmp_path / "out", model=static_model)


def test_a_second_stage_goes_on_from_the_first_and_a_finished_stage_is_not_run_again(
    write_recipe, recipe_text, static_model, dataset, tmp_path
):
    second = "\n".join(recipe_text.splitlines()[3:]).replace("name: fit", "name: fine")
    made = recipe(write_recipe, f"{recipe_text}{second}\n")
    judged = []

    def judge(model):
        judged.append(1)
        if len(judged) == 2:
            raise KeyboardInterrupt
        return 0.5

    options = {"data": {"docstrings": dataset}, "output": tmp_path / "out"}
    start = {name: value.clone() for name, value in static_model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        fit(made, **options, model=static_model, judge=judge)
    static_model.load_state_dict(start)
    fit(made, **options, model=static_model, judge=judge)
    stages = json.loads((tmp_path / "out" / "training.json").read_text())["stages"]
    assert [stage["name"] for stage in stages] == ["fit", "fine"]
    assert len(judged) == 3


def test_a_transformer_trains_with_gradient_caching_and_a_lora_adapter(
    write_recipe, recipe_text, transformer_folder, dataset, tmp_path
):
    from vecsmith.models.load import load

    text = recipe_text.replace(
        "name: small\n", "name: small\nmodel: {peft: {r: 2, lora_alpha: 4, target_modules: [query, value]}}\n"
    )
    model = load(transformer_folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = recipe(write_recipe, text, "stages.0.cache=8", "stages.0.train.max_steps=4", "stages.0.checkpoint_seconds=0")
    fit(made, data={"docstrings": dataset}, output=tmp_path / "out", model=model)
    after = model.state_dict()
    assert after.keys() == before.keys()  # the adapters are folded in
    moved = {name.rpartition(".")[0].rpartition(".")[2] for name in after if not torch.equal(after[name], before[name])}
    assert moved == {"query", "value"}
    texts = dataset.texts(np.arange(5))
    plain = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert np.allclose(plain.encode(texts), model.eval().encode(texts), atol=1e-5)


def test_a_relative_rate_makes_the_scale_of_a_static_model_matter_to_nothing(
    write_recipe, recipe_text, static_model, dataset, tmp_path
):
    from vecsmith.models.load import load

    text = recipe_text.replace("    train: {", "    relative_rate: true\n    train: {max_grad_norm: 0, ")
    made = recipe(write_recipe, text)
    static_model.save(str(tmp_path / "start"))
    ends = []
    for scale in (1.0, 64.0):
        model = load(tmp_path / "start")
        with torch.no_grad():
            model[0].embedding.weight *= scale
        fit(made, data={"docstrings": dataset}, output=tmp_path / f"out-{scale}", model=model)
        ends.append(model[0].embedding.weight.detach() / scale)
    assert torch.allclose(*ends, atol=1e-3)


def test_a_relative_rate_on_a_transformer_is_refused_with_its_line(
    write_recipe, recipe_text, transformer_folder, dataset, tmp_path
):
    from vecsmith.models.load import load

    made = recipe(write_recipe, recipe_text.replace("    train:", "    relative_rate: true\n    train:"))
    with pytest.raises(RecipeError, match="line 7: relative_rate is for static models"):
        fit(made, data={"d": dataset}, output=tmp_path / "out", model=load(transformer_folder))
