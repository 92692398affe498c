"""Two gloo processes under torchrun end where one process with the whole batch ends."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from vecsmith.training.fit import fit
from vecsmith.training.recipe import load_recipe

RANKED = """\
name: ranked
seed: 3
model: {base: START}
data: [{path: data}]
stages:
  - name: fit
    CACHE
    objective:
      retrieval: [{info_nce: {temperature: 0.1, query_query: true}}]
    train: {per_device_train_batch_size: 16, max_steps: 6, learning_rate: 0.5, optim: sgd, max_grad_norm: 0,
            lr_scheduler_type: constant}
"""


def weights(folder):
    return load_file(next(folder.rglob("model.safetensors")))


WRAPPED = "cache: 5\n    wrap: [{matryoshka_2d: {widths: [4, 8]}}]"


# Two sets in batches of 7 rows and mixed ones, an objective with weights, draws and a moving average.
SAMPLED = "sampling: {mixed_share: 0.4}"
CURRICULAR = "info_nce: {temperature: 0.1, curriculum: curricular, tilt: 1.0, focal_gamma: 0.5}"


@pytest.mark.parametrize(
    ("kind", "cache"),
    [("static", ""), ("static", SAMPLED), ("transformer", "cache: 5"), ("transformer", WRAPPED)],
)
def test_two_ranks_give_the_gradient_of_one_process_with_the_whole_batch(
    kind, cache, write_recipe, static_model, transformer_folder, dataset, tmp_path
):
    start = transformer_folder
    if kind == "static":
        start = tmp_path / "start"
        static_model.save(str(start))
    text = RANKED.replace("START", str(start)).replace("CACHE", cache or "cache: null")
    if cache == SAMPLED:
        text = text.replace("info_nce: {temperature: 0.1, query_query: true}", CURRICULAR)
        text = text.replace("{path: data}", "{path: data, batch_size: 7}, {path: data, name: again, weight: 0.5}")
    if kind == "transformer":
        _without_dropout(start)
        text = text.replace("0.5, optim", "0.01, optim")
    dataset.save(tmp_path / "data")
    file = write_recipe(text)
    fit(load_recipe(file), output=tmp_path / "one")
    script = tmp_path / "ranked.py"
    script.write_text(
        "import sys\nfrom vecsmith.training.fit import fit\nfrom vecsmith.training.recipe import load_recipe\n"
        "half = ['stages.0.train.per_device_train_batch_size=8']\n"
        "fit(load_recipe(sys.argv[1], overrides=half), output=sys.argv[2])\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    result = subprocess.run(
        [*command, str(file), str(tmp_path / "two")], env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr[-3000:]
    before, one, two = weights(start), weights(tmp_path / "one"), weights(tmp_path / "two")
    assert max(float((one[name] - before[name]).abs().max()) for name in one) > 1e-3
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-5), name


def _without_dropout(folder):
    import json

    file = folder / "config.json"
    config = json.loads(file.read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    file.write_text(json.dumps(config))
