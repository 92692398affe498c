"""What `load` takes, and what it refuses."""

import base64
import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vecsmith.errors import ContractError, MissingExtra, Tampered, UsageError
from vecsmith.models import names
from vecsmith.models.encoder import open_encoder
from vecsmith.models.load import Model, load, resolve_name


class Somewhere(os.PathLike):
    """A PathLike that is no Path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize("wrap", [str, Path, Somewhere])
def test_any_path_is_taken(static_folder, texts, wrap):
    from sentence_transformers import SentenceTransformer

    model = load(wrap(static_folder), device="cpu")
    assert isinstance(model, Model)
    assert isinstance(model, SentenceTransformer)
    assert np.array_equal(model.encode(texts), SentenceTransformer(str(static_folder), device="cpu").encode(texts))


def test_names_are_looked_up(minilm_folder):
    assert resolve_name("all-MiniLM-L6-v2") == minilm_folder
    assert resolve_name("default").parts[-2:] == ("assets", "default")


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(
        UsageError, match=r'no model "all-MiniLM-L8-v2".*Did you mean all-MiniLM-L6-v2\?.*Names: default'
    ):
        load("all-MiniLM-L8-v2")
    with pytest.raises(UsageError, match=r"Did you mean default\?"):
        load("defualt")


def test_a_missing_package_names_its_extra(monkeypatch):
    table = {"tiny": {"package": "no_such_package_here", "folder": "model", "extra": "tiny"}}
    monkeypatch.setattr(names, "known_names", lambda: table)
    with pytest.raises(MissingExtra, match=r'the model tiny needs the extra "tiny".*pip install "vecsmith\[tiny\]"'):
        load("tiny")


def test_a_name_of_the_hub_that_cannot_be_fetched_says_so():
    with pytest.raises(UsageError, match=r"hub:nobody/nothing could not be fetched"):
        load("hub:nobody/nothing")


def test_pickled_weights_are_never_opened(static_copy):
    marker = static_copy / "ran"

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (marker,))

    (static_copy / "model.safetensors").unlink()
    (static_copy / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    for opener in (load, open_encoder):
        with pytest.raises(Exception) as caught:
            opener(static_copy)
        assert "pytorch_model.bin" in str(caught.value) or "model.safetensors is missing" in str(caught.value)
    assert not marker.exists()


def change_module(folder: Path, type: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = type
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize(
    "type",
    ["os.system", "somebody--repo.file.Class", "somebody--file.Class", "missing.Class", "sentence_transformersx.a.B"],
)
def test_modules_from_elsewhere_are_refused(static_copy, type):
    (static_copy / "somebody--file.py").write_text("raise RuntimeError('ran')")
    change_module(static_copy, type)
    with pytest.raises(ContractError, match="code from elsewhere is never run"):
        load(static_copy, trust_remote_code=True)


@pytest.mark.parametrize(
    "type", ["sentence_transformers.base.model.torch", "vecsmith.models.load.load", "vecsmith.progress.Bars"]
)
def test_a_name_that_is_no_module_is_refused(static_copy, type):
    change_module(static_copy, type)
    with pytest.raises(ContractError, match="which is no module"):
        load(static_copy, device="cpu")


def test_code_in_the_folder_runs_only_when_trusted(static_copy, texts):
    (static_copy / "halving.py").write_text(
        "from sentence_transformers.base.modules.module import Module\n"
        "class Halving(Module):\n"
        "    def __init__(self, **config): super().__init__()\n"
        "    def forward(self, features, **kwargs):\n"
        "        features['sentence_embedding'] = features['sentence_embedding'] / 2\n"
        "        return features\n"
        "    def save(self, output_path, *args, **kwargs): pass\n"
    )
    change_module(static_copy, "halving.Halving")
    with pytest.raises(ContractError, match=r"code in the folder \(halving.py\).*trust_remote_code=True"):
        load(static_copy)
    model = load(static_copy, trust_remote_code=True, device="cpu")
    assert type(model[1]).__name__ == "Halving"
    assert "halving.Halving" in str(model.contract.space["modules"])


def test_tampered_weights_are_refused_unless_asked(static_copy):
    from vecsmith.models.save import stamp

    stamp(None, static_copy)
    data = bytearray((static_copy / "model.safetensors").read_bytes())
    data[-5] ^= 0x40
    (static_copy / "model.safetensors").write_bytes(data)
    with pytest.raises(Tampered, match="verify=False"):
        load(static_copy)
    assert load(static_copy, verify=False, device="cpu") is not None


def test_vectors_that_differ_from_the_contract_are_refused_at_the_first_load(static_folder, tmp_path, monkeypatch):
    from vecsmith.contract.contract import Contract
    from vecsmith.models.save import save

    save(load(static_folder, device="cpu"), tmp_path / "model")
    held = Contract.read(tmp_path / "model")
    other = held.probes.vectors.copy()
    other[3, 5] += 0.01
    data = base64.b64encode(other.tobytes()).decode()
    replace(held, probes=replace(held.probes, data=data)).write(tmp_path / "model")
    for opener in (lambda: load(tmp_path / "model", device="cpu"), lambda: open_encoder(tmp_path / "model")):
        with pytest.raises(ContractError, match=r'probe "sentence" differs by 0\.01'):
            opener()


def test_a_contract_is_there_without_a_file_and_the_same_for_both_encoders(static_folder, minilm_folder):
    assert load(static_folder, device="cpu").contract.fingerprint == open_encoder(static_folder).contract.fingerprint
    contract = load(minilm_folder, device="cpu").contract
    assert contract.space["max_length"] == 256
    assert contract.space["pooling"] == "mean"
    assert contract.view["width"] == 384
    assert contract.view["normalised"] is True


def test_options_change_the_contract(static_folder, minilm_folder):
    base = load(static_folder, device="cpu").contract
    cut = load(static_folder, device="cpu", truncate_dim=8).contract
    assert (cut.fingerprint, cut.width) == (base.fingerprint, 8)
    assert load(static_folder, device="cpu", prompts={"query": "q: "}).contract.fingerprint != base.fingerprint
    model = load(minilm_folder, device="cpu")
    before = model.contract.fingerprint
    model.max_seq_length = 128
    assert model.contract.fingerprint != before


def one_step(weight):
    import torch

    weight.grad = torch.zeros_like(weight)
    weight.grad[7] = 1
    torch.optim.AdamW([weight], lr=0.1, weight_decay=0).step()


def through_data(weight):
    weight.data = weight.data * 2


@pytest.mark.parametrize("change", [one_step, through_data])
def test_a_model_changed_since_it_was_loaded_has_no_contract(static_folder, tmp_path, change):
    model = load(static_folder, device="cpu")
    before = model.contract.fingerprint
    assert model.double().float().to("cpu").contract.fingerprint == before
    change(model[0].embedding.weight)
    with pytest.raises(ContractError, match=r"was changed since it was loaded.*save it first"):
        _ = model.contract
    model.save(tmp_path / "new", create_model_card=False)
    assert model.contract.fingerprint != before
    with pytest.raises(ContractError, match="was built in memory"):
        _ = Model(modules=list(model), device="cpu").contract


def test_on_truncation_is_checked_at_the_door(static_folder):
    with pytest.raises(UsageError, match='on_truncation is "wrn"; known: warn, error, chunk'):
        load(static_folder, on_truncation="wrn")


def test_a_folder_that_is_no_model_says_so(tmp_path):
    with pytest.raises(ContractError, match=r"has no modules.json"):
        load(tmp_path)
    shutil.rmtree(tmp_path)
