"""Every replication runs whole at a tiny scale, by the command, and writes nothing."""

import importlib.util
import json

import numpy as np
import pytest

from replications.bench.bed import Bed
from replications.bench.run import FOLDER, keys
from vecsmith.cli.main import run

FROZEN = [key for key in keys() if key != "matryoshka_2d"]  # that one trains an encoder: see its own test


@pytest.fixture(scope="module")
def small_bed():
    """160 invented things of each side whose three views are near each other."""
    rng = np.random.default_rng(0)
    names = ["torch", "numpy", "transformers", "sklearn"]
    meaning = rng.standard_normal((320, 384))
    views = {}
    for view in ("words", "summary", "body"):
        moved = meaning + 0.8 * rng.standard_normal((320, 384))
        views[view] = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    texts = {view: [f"{view} of thing {number}" for number in range(320)] for view in views}
    package = np.arange(320) % len(names)
    return Bed(**texts, package=package, names=names, trains=160, vectors=views, share=1.0, missing={})


@pytest.mark.parametrize("key", FROZEN)
def test_a_replication_runs_whole_at_a_tiny_scale_and_writes_nothing(key, small_bed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("replications.bench.protocol.open_bed", lambda *_, **__: small_bed)
    before = {file: file.read_bytes() for file in (FOLDER.parent / "src/vecsmith/evidence").glob("*.json")}
    assert run(["replicate", key, "--quick", "--seeds", "2", "--work", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["key"] == key
    assert found["seeds"] == [1, 2]
    exact = [check for check in found["checks"] if check["kind"] == "exactness"]
    assert all(check["passed"] for check in exact), exact
    assert all(len(values) == 2 for measures in found["arms"].values() for values in measures.values())
    assert before == {file: file.read_bytes() for file in (FOLDER.parent / "src/vecsmith/evidence").glob("*.json")}
    kept = list((tmp_path / f"{key}-quick").glob("*.npz"))
    assert kept
    assert run(["replicate", key, "--quick", "--seeds", "2", "--work", str(tmp_path)]) == 0
    assert found["verdict"] in capsys.readouterr().out


def test_outside_a_checkout_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vecsmith.cli.replicate.__file__", str(tmp_path / "a" / "b" / "c" / "replicate.py"))
    monkeypatch.chdir(tmp_path)
    assert run(["replicate", "peg"]) == 2
    assert "run in a checkout of the source" in capsys.readouterr().err


def test_the_trained_arms_are_profiles_of_one_recipe_and_their_suite_reads():
    from vecsmith.evaluation.tasks import load_suite
    from vecsmith.training.recipe import load_recipe

    folder = FOLDER / "trained_minilm"
    for arm in ("plain", "kalm", "lg_anna", "qzhou"):
        recipe = load_recipe(folder / "recipe.yaml", arm)
        assert sum(stage.train["max_steps"] for stage in recipe.stages) == 100
        assert all(stage.train["save_steps"] == 20 for stage in recipe.stages)
    assert len(load_suite(folder / "suite.yaml").tasks) == 4
    assert importlib.util.find_spec("replications.trained_minilm.run")
