"""The contract file, and what of a model folder goes into it."""

import json
from pathlib import Path

import numpy as np
import pytest

from vecsmith.contract.contract import Contract
from vecsmith.contract.describe import contract_of, max_length_of, width_of
from vecsmith.contract.folder import read_model_folder
from vecsmith.contract.probes import Probes
from vecsmith.errors import ContractError


def test_a_contract_comes_back_from_its_file_as_it_was(static_folder, tmp_path):
    contract = contract_of(static_folder(), name="small", licence="mit", lineage=("parent",))
    contract = Contract(contract.space, contract.view, contract.record, Probes(2, "AAAAAAAAAAA=", ("empty",)))
    contract.write(tmp_path)
    assert Contract.read(tmp_path) == contract
    assert contract.name == "small"
    assert contract.record["lineage"] == ["parent"]


def test_a_folder_without_a_contract_says_how_to_get_one(tmp_path):
    with pytest.raises(ContractError, match=r"has no contract \(embedding.json\).*save\(NEW_FOLDER\)"):
        Contract.read(tmp_path)


def test_an_edited_contract_is_refused(static_folder):
    folder = static_folder()
    contract_of(folder).write(folder)
    value = json.loads((folder / "embedding.json").read_text())
    value["space"]["max_length"] = 99
    (folder / "embedding.json").write_text(json.dumps(value))
    with pytest.raises(ContractError, match="the file was edited"):
        Contract.read(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "holds a list"),
        ("{", "is no JSON file"),
        ('{"format": 2}', "upgrade vecsmith"),
        ('{"format": 1}', "no contract"),
    ],
)
def test_a_broken_contract_file_is_refused_with_words(tmp_path, text, words):
    (tmp_path / "embedding.json").write_text(text)
    with pytest.raises(ContractError, match=words):
        Contract.read(tmp_path)


def test_the_fingerprint_follows_the_space_and_nothing_else(static_folder):
    plain = contract_of(static_folder("plain"))
    assert plain.fingerprint == contract_of(static_folder("copy"), name="another").fingerprint
    assert plain.fingerprint == contract_of(static_folder("raw", normalise=False)).fingerprint
    assert plain.fingerprint == contract_of(static_folder("cut", truncate_dim=2)).fingerprint
    assert plain.fingerprint == contract_of(static_folder("same", prompts={"query": "", "document": ""})).fingerprint
    assert plain.fingerprint != contract_of(static_folder("asked", prompts={"query": "query: "})).fingerprint
    assert plain.fingerprint != contract_of(static_folder("other", weights=np.ones((3, 4), np.float32))).fingerprint


def test_the_view_says_width_and_normalisation(static_folder):
    view = contract_of(static_folder(truncate_dim=2)).view
    assert view["width"] == 2
    assert view["normalised"] is True
    assert contract_of(static_folder("raw", normalise=False)).view["normalised"] is False


def test_a_tokenizer_written_in_another_order_is_the_same_one(static_folder):
    folder = static_folder()
    before = contract_of(folder).fingerprint
    found = json.loads((folder / "tokenizer.json").read_text())
    changed = {"padding": {"length": 9}, "truncation": None, **dict(reversed(found.items()))}
    (folder / "tokenizer.json").write_text(json.dumps(changed, indent=1))
    assert contract_of(folder).fingerprint == before


def test_a_card_or_recipe_beside_the_model_changes_nothing(static_folder):
    folder = static_folder()
    before = contract_of(folder)
    (folder / "README.md").write_text("card")
    (folder / "recipe.lock.yaml").write_text("a: 1")
    before.write(folder)
    assert contract_of(folder) == Contract(before.space, before.view, before.record)


def test_older_rotary_names_are_the_same_space(static_folder):
    from vecsmith.contract.describe import _rotary

    assert _rotary({"rope_theta": 1e4}) == _rotary({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}})
    assert _rotary({"rope_theta": 1e4}) != _rotary({"rope_theta": 1e6})
    assert _rotary({}) == {}


def test_prompts_follow_the_rules_of_sentence_transformers(static_folder):
    model = read_model_folder(static_folder(prompts={"query": "q: ", "web": "w: "}))
    assert model.prompt_for("query") == "q: "
    assert model.prompt_for("document") == ""
    assert model.prompt_for(None) == ""
    with pytest.raises(ValueError, match='no prompt is named "webb"; this model has: document, query, web'):
        model.prompt_for("webb")


@pytest.mark.parametrize("path", ["../other", "/etc", "a/../../b"])
def test_a_module_path_out_of_the_folder_is_refused(static_folder, path):
    folder = static_folder()
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ContractError, match="leads out of the model folder"):
        read_model_folder(folder)


def test_what_is_no_model_folder_says_so(tmp_path):
    with pytest.raises(ContractError, match=r"has no modules.json.*default, all-MiniLM-L6-v2"):
        read_model_folder(tmp_path)
    with pytest.raises(ContractError, match="does not exist"):
        read_model_folder(tmp_path / "nothing")
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(ContractError, match="lists no module"):
        read_model_folder(tmp_path)
    (tmp_path / "modules.json").write_text('[{"name": "0"}]')
    with pytest.raises(ContractError, match="needs name, path and type"):
        read_model_folder(tmp_path)


def test_a_transformer_folder_tells_width_and_length_without_being_loaded(tmp_path):
    folder: Path = tmp_path
    modules = [
        {"name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8, "max_position_embeddings": 512}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 10**30}))
    for name in ("1_Pooling", "2_Dense"):
        (folder / name).mkdir()
    pooling = {"word_embedding_dimension": 8, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    assert width_of(read_model_folder(folder)) == 16
    assert max_length_of(read_model_folder(folder)) == 512
    (folder / "2_Dense" / "config.json").write_text(json.dumps({"in_features": 16, "out_features": 5}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 128}))
    assert width_of(read_model_folder(folder)) == 5
    assert max_length_of(read_model_folder(folder)) == 128
