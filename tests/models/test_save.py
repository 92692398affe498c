"""Saved folders open in plain sentence-transformers, without a flag, bit for bit."""

import errno
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from vecsmith.contract.compare import Same, compare
from vecsmith.contract.contract import Contract
from vecsmith.contract.describe import contract_of
from vecsmith.contract.probes import check
from vecsmith.errors import ContractError, DiskFull, UsageError
from vecsmith.models.encode import encode
from vecsmith.models.load import load
from vecsmith.models.save import save

OLD_TYPES = "sentence_transformers.models."


@pytest.fixture(scope="module")
def saved_minilm(minilm_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "minilm"
    load(minilm_folder, device="cpu").save(folder, create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def saved_static(static_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "static"
    load(static_folder, device="cpu", similarity_fn_name="dot", truncate_dim=12).save(folder, create_model_card=False)
    return folder


def test_plain_sentence_transformers_gives_the_same_bits_for_minilm(minilm_folder, saved_minilm, texts, caplog):
    expected = SentenceTransformer(str(minilm_folder), device="cpu").encode(texts)
    with caplog.at_level(logging.WARNING):
        plain = SentenceTransformer(str(saved_minilm), device="cpu")
    assert [record.getMessage() for record in caplog.records] == []
    assert np.array_equal(plain.encode(texts), expected)
    assert [type(module).__name__ for module in plain] == ["Transformer", "Pooling", "Normalize"]
    assert plain.max_seq_length == 256


def test_plain_sentence_transformers_gives_the_same_bits_for_a_static_model(static_folder, saved_static, texts, caplog):
    before = SentenceTransformer(str(static_folder), device="cpu", truncate_dim=12)
    with caplog.at_level(logging.WARNING):
        plain = SentenceTransformer(str(saved_static), device="cpu")
    assert caplog.records == []
    assert np.array_equal(plain.encode_query(texts), before.encode_query(texts))
    assert plain.prompts == {"query": "query: ", "web": "web page: ", "document": ""}
    assert (plain.similarity_fn_name, plain.truncate_dim) == ("dot", 12)


def test_type_paths_and_option_names_of_both_generations_are_there(saved_minilm):
    types = [entry["type"] for entry in json.loads((saved_minilm / "modules.json").read_text())]
    assert types == [OLD_TYPES + kind for kind in ("Transformer", "Pooling", "Normalize")]
    pooling = json.loads((saved_minilm / "1_Pooling" / "config.json").read_text())
    assert pooling["pooling_mode"] == "mean"
    assert pooling["pooling_mode_mean_tokens"] is True
    assert pooling["pooling_mode_cls_token"] is False
    assert pooling["word_embedding_dimension"] == 384
    transformer = json.loads((saved_minilm / "sentence_bert_config.json").read_text())
    assert transformer["max_seq_length"] == 256
    assert transformer["do_lower_case"] is False
    assert transformer["transformer_task"] == "feature-extraction"


def test_only_safetensors_are_written(saved_minilm, saved_static):
    for folder in (saved_minilm, saved_static):
        assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]
        assert (folder / "model.safetensors").is_file()


def test_saving_again_changes_neither_space_nor_fingerprint(minilm_folder, saved_minilm):
    held = Contract.read(saved_minilm)
    assert compare(contract_of(minilm_folder), held) == Same()
    assert compare(load(saved_minilm, device="cpu").contract, held) == Same()
    assert contract_of(minilm_folder).fingerprint == held.fingerprint


def test_the_probes_pass_after_loading_and_fail_for_other_weights(saved_static):
    import torch

    model = load(saved_static, device="cpu")
    probes = Contract.read(saved_static).probes
    assert probes is not None

    def run(texts, role):
        return encode(model, texts, prompt=role, on_truncation="cut")

    assert check(run, probes).passed
    with torch.no_grad():
        model[0].embedding.weight[:2000] += 0.05
    assert not check(run, probes).passed


def test_an_existing_folder_is_not_replaced_unless_asked(static_folder, saved_static, tmp_path):
    model = load(static_folder, device="cpu")
    with pytest.raises(FileExistsError):
        save(model, saved_static)
    other = tmp_path / "documents"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is no model folder, so it is not replaced"):
        save(model, other, replace=True)
    assert (other / "thesis.txt").read_text() == "years of work"
    target = tmp_path / "model"
    first, second = save(model, target, name="one"), save(model, target, name="two", replace=True)
    assert first.fingerprint == second.fingerprint == Contract.read(target).fingerprint
    assert Contract.read(target).name == "two"


def test_saving_into_a_folder_with_other_files_keeps_them(static_folder, tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: x")
    model = load(static_folder, device="cpu")
    model.save(tmp_path, create_model_card=False)
    assert (tmp_path / "recipe.yaml").read_text() == "name: x"
    assert Contract.read(tmp_path).fingerprint == model.contract.fingerprint


def test_a_full_disk_leaves_the_old_model(static_folder, tmp_path, monkeypatch):
    model = load(static_folder, device="cpu")
    save(model, tmp_path / "model", name="old")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vecsmith.models.save.stamp", full)
    with pytest.raises(DiskFull, match="What was there before is unchanged"):
        save(model, tmp_path / "model", name="new", replace=True)
    assert Contract.read(tmp_path / "model").name == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_pickle_is_not_written_even_when_asked(static_folder, tmp_path):
    with pytest.raises(ContractError, match="safetensors only"):
        load(static_folder, device="cpu").save(tmp_path / "x", safe_serialization=False)
    assert not Path(tmp_path / "x").exists()


def test_a_plain_sentence_transformer_can_be_saved_too(static_folder, tmp_path, texts):
    plain = SentenceTransformer(str(static_folder), device="cpu")
    contract = save(plain, tmp_path / "model", licence="mit", lineage=("nothing",))
    assert contract.record["licence"] == "mit"
    assert np.array_equal(load(tmp_path / "model", device="cpu").encode(texts), plain.encode(texts))
