"""Stages: parts frozen in one stage only; runs killed in a stage, between stages, before the model is written."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from vecsmith.errors import RecipeError, UsageError
from vecsmith.models.load import load
from vecsmith.training import fit as fit_module
from vecsmith.training.fit import fit
from vecsmith.training.recipe import load_recipe

TWO = """\
name: two
seed: 3
model: {base: START}
data: [{path: data}]
stages:
  - name: first
    objective: {retrieval: [{info_nce: {}}]}
    freeze: [FIRST]
    train: {per_device_train_batch_size: 16, max_steps: 8, learning_rate: 0.01, use_cpu: true}
    checkpoint_seconds: 0
  - name: second
    objective: {retrieval: [{info_nce: {temperature: 0.1, curriculum: curricular}}]}
    freeze: [SECOND]
    train: {per_device_train_batch_size: 8, max_steps: 8, learning_rate: 0.01, use_cpu: true}
    checkpoint_seconds: 0
"""


@pytest.fixture
def scene(write_recipe, transformer_folder, dataset, tmp_path):
    dataset.save(tmp_path / "data")

    def written(first="embeddings", second="encoder"):
        text = TWO.replace("START", str(transformer_folder))
        return write_recipe(text.replace("FIRST", first).replace("SECOND", second))

    return written


def process(file, output):
    code = (
        "import sys; from vecsmith.training.fit import fit; from vecsmith.training.recipe import load_recipe; "
        "fit(load_recipe(sys.argv[1]), output=sys.argv[2])"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-c", code, str(file), str(output)], env=environment, **silent)


class Listener:
    def __init__(self, said):
        from vecsmith.progress import SILENT

        self.said, self.task = said, SILENT.task

    def say(self, text):
        self.said.append(text)


def weights(folder):
    return load_file(next(folder.rglob("model.safetensors")))


def moved(before, after):
    return {name for name in after if not torch.equal(before[name], after[name])}


def test_what_a_stage_freezes_stays_in_that_stage_only(scene, tmp_path, transformer_folder):
    states = []

    def judge(model):
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        return len(states)

    start = {name: value.clone() for name, value in load(transformer_folder).state_dict().items()}
    fit(load_recipe(scene()), output=tmp_path / "out", judge=judge)
    first, second = moved(start, states[0]), moved(states[0], states[1])
    assert first
    assert second
    assert not any("embeddings" in name for name in first)
    assert not any("encoder" in name for name in second)
    stages = json.loads((tmp_path / "out" / "training.json").read_text())["stages"]
    assert [stage["judged"] for stage in stages] == [1, 2]


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("embedings", r'line 8: no parameter has "embedings" in its name'),
        ('"."', r"line 8: this freezes every parameter; nothing is left to train"),
    ],
)
def test_a_freeze_that_cannot_be_meant_is_refused_with_its_line(first, words, scene, tmp_path):
    with pytest.raises(RecipeError, match=words):
        fit(load_recipe(scene(first=first)), output=tmp_path / "out")


@pytest.mark.slow
def test_a_run_killed_in_its_second_stage_ends_where_one_left_alone_ends(scene, tmp_path):

    file = scene()
    fit(load_recipe(file), output=tmp_path / "whole")
    killed = process(file, tmp_path / "out")
    stage, until = tmp_path / ".out.run" / "stage-1", time.monotonic() + 120
    while not list(stage.glob("checkpoint-*/complete.json")) and killed.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match=r"(?s)-.*max_steps: 8.*\+.*max_steps: 9.*--force"):
        fit(load_recipe(file, overrides=["stages.1.train.max_steps=9"]), output=tmp_path / "out")
    said = []
    fit(load_recipe(file), output=tmp_path / "out", progress=Listener(said))
    assert [line for line in said if "going on from checkpoint-" in line]
    assert not moved(weights(tmp_path / "whole"), weights(tmp_path / "out"))
    one, two = (json.loads((tmp_path / name / "training.json").read_text())["stages"] for name in ("whole", "out"))
    assert [stage["datasets"] for stage in one] == [stage["datasets"] for stage in two]


@pytest.mark.parametrize("moment", ["after the first stage", "after the last stage"])
def test_a_run_killed_between_stages_trains_no_finished_stage_again(moment, scene, tmp_path, monkeypatch):
    file = scene()
    fit(load_recipe(file), output=tmp_path / "whole")
    trained = []
    train_stage, write_model = fit_module._train_stage, fit_module._write_model

    def counted(recipe, number, *args):
        trained.append(number)
        if moment == "after the first stage" and trained == [0, 1]:
            raise KeyboardInterrupt
        return train_stage(recipe, number, *args)

    def interrupted(*args):
        if moment == "after the last stage" and trained == [0, 1]:
            trained.append("killed")
            raise KeyboardInterrupt
        write_model(*args)

    monkeypatch.setattr(fit_module, "_train_stage", counted)
    monkeypatch.setattr(fit_module, "_write_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(load_recipe(file), output=tmp_path / "out")
    fit(load_recipe(file), output=tmp_path / "out")
    assert trained == ([0, 1, 1] if moment == "after the first stage" else [0, 1, "killed"])
    assert not moved(weights(tmp_path / "whole"), weights(tmp_path / "out"))
