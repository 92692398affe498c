"""Saved folders by the rules of other readers, and folders of older writers by ours.

Each rule below is what a program reads of a sentence-transformers folder, written anew from its source:

    TEI        huggingface/text-embeddings-inference: router/src/lib.rs (PoolConfig, STConfig, NewSTConfig, prompts),
               backends/src/lib.rs (modules.json, Dense paths), backends/candle/src/models/dense.rs (activations)
    vLLM       vllm-project/vllm: vllm/transformers_utils/config.py (get_pooling_config, parse_pooling_type,
               get_sentence_transformer_tokenizer_config, try_get_dense_modules), vllm/model_executor/models/adapters.py
    llama.cpp  ggml-org/llama.cpp: convert_hf_to_gguf.py (_try_set_pooling_type, EmbeddingGemma's Dense modules)
"""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sentence_transformers.sentence_transformer.modules import Dense

from vecsmith.contract.contract import Contract
from vecsmith.contract.describe import contract_of
from vecsmith.contract.folder import read_model_folder
from vecsmith.models.load import load
from vecsmith.models.save import save

spec = importlib.util.spec_from_file_location("tiny_bert", Path(__file__).with_name("tiny_bert.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

PROMPTS = {"query": "query: ", "document": "passage: "}
SEQUENCE_POOLINGS = {"CLS", "LAST", "MEAN"}


def read(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def natural(value):
    """What a Rust `usize` takes: a whole number, no null, no float, no bool."""
    assert type(value) is int, f"{value!r} is no usize"
    assert value >= 0
    return value


class Tei:
    """Fixed paths; every pooling switch must be there; a null length is a parse error, not "none"."""

    def __init__(self, folder):
        self.folder = folder
        config = read(folder / "config.json")
        assert isinstance(config["architectures"], list)
        assert isinstance(config["model_type"], str)
        self.positions = natural(config["max_position_embeddings"])

    def pooling(self):
        held = read(self.folder / "1_Pooling" / "config.json")
        switches = [
            held["pooling_mode_cls_token"],
            held["pooling_mode_mean_tokens"],
            held.get("pooling_mode_lasttoken", False),
        ]
        assert all(isinstance(switch, bool) for switch in switches)
        for switch, name in zip(switches, ("cls", "mean", "lasttoken"), strict=True):
            if switch:
                return name
        return "refused"

    def length(self):
        for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"):
            held = read(self.folder / f"sentence_{kind}_config.json")
            if held is not None:
                return natural(held["max_seq_length"])
        return self.positions

    def prompts(self):
        held = read(self.folder / "config_sentence_transformers.json") or {}
        prompts = held.get("prompts") or {}
        assert all(isinstance(text, str) for text in prompts.values())
        return {name: text for name, text in prompts.items() if text}

    def dense(self):
        """Widths and activations; a module type that is unknown to it makes it read none at all."""
        known = {f"sentence_transformers.models.{kind}" for kind in ("Dense", "Normalize", "Pooling", "Transformer")}
        listed = read(self.folder / "modules.json")
        if not all(entry["type"] in known for entry in listed):
            return []
        return [dense_layer(self.folder / entry["path"]) for entry in listed if entry["type"].endswith(".Dense")]


def dense_layer(folder):
    held = read(folder / "config.json")
    activation = {"torch.nn.modules.activation.Tanh": "Tanh", "torch.nn.modules.linear.Identity": "Identity"}[
        held["activation_function"]
    ]
    with safe_open(folder / "model.safetensors", "numpy") as weights:
        assert weights.get_slice("linear.weight").get_shape() == [held["out_features"], held["in_features"]]
        assert (not held["bias"]) or "linear.bias" in weights.keys()  # noqa: SIM118  not a dict
    return natural(held["in_features"]), natural(held["out_features"]), activation


class Vllm:
    """Legacy type paths, compared whole; every key of the pooling file that is true is looked at."""

    def __init__(self, folder):
        self.folder = folder
        self.listed = read(folder / "modules.json")

    def _of(self, kind):
        return [entry for entry in self.listed if entry["type"] == f"sentence_transformers.models.{kind}"]

    def pooling(self):
        found = set()
        for key, value in read(self.folder / self._of("Pooling")[0]["path"] / "config.json").items():
            if value is True:
                name = key.replace("pooling_mode_", "").split("_", 1)[0]
                name = "LAST" if "lasttoken" in name else name.upper()
                found |= {name} & SEQUENCE_POOLINGS
        assert len(found) <= 1
        return {"CLS": "cls", "MEAN": "mean", "LAST": "lasttoken", None: "default"}[next(iter(found), None)]

    def normalised(self):
        return bool(self._of("Normalize"))

    def length(self):
        """Only a file with both keys counts."""
        held = read(self.folder / "sentence_bert_config.json") or {}
        return natural(held["max_seq_length"]) if {"max_seq_length", "do_lower_case"} <= held.keys() else None

    def dense(self):
        return [dense_layer(self.folder / entry["path"]) for entry in self._of("Dense")]


class LlamaCpp:
    """Keys are indexed, not asked for: a missing one is a KeyError."""

    def __init__(self, folder):
        self.folder = folder
        self.listed = read(folder / "modules.json")

    def pooling(self):
        path = next(entry["path"] for entry in self.listed if entry["type"] == "sentence_transformers.models.Pooling")
        held = read(self.folder / path / "config.json")
        order = {
            "pooling_mode_mean_tokens": "mean",
            "pooling_mode_cls_token": "cls",
            "pooling_mode_lasttoken": "lasttoken",
        }
        return next((name for key, name in order.items() if held[key]), "refused")

    def dense(self):
        folders = [self.folder / entry["path"] for entry in self.listed if entry["type"].endswith("Dense")]
        return [dense_layer(folder) for folder in folders if (folder / "model.safetensors").is_file()]


@pytest.fixture(scope="module")
def bert(tmp_path_factory, minilm_folder):
    return tiny.write_bert(tmp_path_factory.mktemp("bert"), minilm_folder)


def dense(width=16, activation=None):
    torch.manual_seed(3)
    return Dense(tiny.WIDTH, width, activation_function=activation or torch.nn.Identity())


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_pooling_length_width_normalisation_and_prompts_are_found_by_all(bert, tmp_path, pooling, normalise):
    save(tiny.build(bert, pooling=pooling, normalise=normalise, prompts=PROMPTS), tmp_path / "m", probes=False)
    tei, vllm, llama = Tei(tmp_path / "m"), Vllm(tmp_path / "m"), LlamaCpp(tmp_path / "m")
    assert tei.pooling() == vllm.pooling() == llama.pooling() == pooling
    assert tei.length() == vllm.length() == 64
    assert tei.prompts() == PROMPTS
    assert vllm.normalised() is normalise
    assert tei.dense() == vllm.dense() == llama.dense() == []
    assert read(tmp_path / "m" / "1_Pooling" / "config.json")["word_embedding_dimension"] == tiny.WIDTH


@pytest.mark.parametrize("pooling", ["max", "weightedmean"])
def test_a_pooling_that_others_lack_is_refused_by_them_and_not_taken_for_another(bert, tmp_path, pooling):
    save(tiny.build(bert, pooling=pooling), tmp_path / "m", probes=False)
    assert Tei(tmp_path / "m").pooling() == LlamaCpp(tmp_path / "m").pooling() == "refused"
    assert Vllm(tmp_path / "m").pooling() == "default"


@pytest.mark.parametrize("activation", [torch.nn.Tanh(), torch.nn.Identity()])
def test_a_dense_head_is_found_by_all(bert, tmp_path, activation):
    save(tiny.build(bert, dense(activation=activation)), tmp_path / "m", probes=False)
    expected = [(tiny.WIDTH, 16, type(activation).__name__)]
    assert Tei(tmp_path / "m").dense() == Vllm(tmp_path / "m").dense() == LlamaCpp(tmp_path / "m").dense() == expected


def test_a_model_without_a_declared_length_gets_the_positions_that_it_has(bert, tmp_path):
    """A tokenizer without limit, as many decoders have; a null would stop TEI at the start."""
    model = tiny.build(bert)
    model.tokenizer.model_max_length = int(1e30)
    model[0].max_seq_length = None
    save(model, tmp_path / "m", probes=False)
    assert Tei(tmp_path / "m").length() == Vllm(tmp_path / "m").length() == 160
    assert contract_of(tmp_path / "m").space["max_length"] == 160


def test_a_merged_lora_model_is_read_like_any_other(bert, tmp_path):
    peft = pytest.importorskip("peft", reason="needs peft")
    model = tiny.build(bert, prompts=PROMPTS)
    model[0].model = peft.get_peft_model(
        model[0].model, peft.LoraConfig(target_modules=["query", "value"], r=2)
    ).merge_and_unload()
    save(model, tmp_path / "m")
    tei = Tei(tmp_path / "m")
    assert (tei.pooling(), tei.length(), tei.prompts()) == ("mean", 64, PROMPTS)
    with safe_open(tmp_path / "m" / "model.safetensors", "numpy") as weights:
        assert not [name for name in weights.keys() if "lora" in name]  # noqa: SIM118


def test_a_model_loaded_and_saved_again_keeps_what_others_read(bert, tmp_path):
    save(tiny.build(bert, dense(), pooling="cls", prompts=PROMPTS), tmp_path / "one")
    load(tmp_path / "one", device="cpu").save(tmp_path / "two", create_model_card=False)
    one, two = Tei(tmp_path / "one"), Tei(tmp_path / "two")
    for rule in ("pooling", "length", "prompts", "dense"):
        assert getattr(one, rule)() == getattr(two, rule)()


def test_a_static_model_has_the_type_paths_that_others_match_on(static_folder, tmp_path):
    """None of the three serves static models; vLLM and llama.cpp look for types, and must find none that is wrong."""
    save(load(static_folder, device="cpu"), tmp_path / "m")
    types = [entry["type"].rpartition(".") for entry in read(tmp_path / "m" / "modules.json")]
    assert {room for room, _, _ in types} == {"sentence_transformers.models"}
    assert [kind for *_, kind in types] == ["StaticEmbedding", "Normalize"]
    assert Vllm(tmp_path / "m").normalised()


# The other direction: folders whose writer knew only the older keys.

OLD_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def made_old(folder, target, *, switches=tuple(OLD_SWITCHES)):
    """A copy as an earlier version would have written it: no new key is left, and no contract."""
    shutil.copytree(folder, target)
    (target / "embedding.json").unlink()
    listed = read(target / "modules.json")
    for entry in listed:
        kind = entry["type"].rpartition(".")[2]
        entry["type"] = f"sentence_transformers.models.{kind}"
        config = target / entry["path"] / "config.json"
        if kind == "Pooling":
            modes = read(config)["pooling_mode"]
            modes = [modes] if isinstance(modes, str) else modes
            old = {key: OLD_SWITCHES[key] in modes for key in switches}
            config.write_text(json.dumps({"word_embedding_dimension": tiny.WIDTH, **old}))
        elif kind == "Dense":
            kept = ("in_features", "out_features", "bias", "activation_function")
            config.write_text(json.dumps({key: read(config)[key] for key in kept}))
        elif kind == "Transformer":
            length = read(target / "tokenizer_config.json")["model_max_length"]
            (target / "sentence_bert_config.json").write_text(
                json.dumps({"max_seq_length": length, "do_lower_case": False})
            )
    (target / "modules.json").write_text(json.dumps(listed))
    settings = target / "config_sentence_transformers.json"
    settings.write_text(json.dumps({"prompts": read(settings)["prompts"], "default_prompt_name": None}))
    return target


@pytest.mark.parametrize("pooling", [*OLD_SWITCHES.values(), ("cls", "mean")])
def test_a_folder_of_only_older_keys_has_the_same_fingerprint_and_vectors(bert, tmp_path, texts, pooling):
    width = tiny.WIDTH * (2 if isinstance(pooling, tuple) else 1)
    torch.manual_seed(3)
    head = Dense(width, 16, activation_function=torch.nn.Tanh())
    new = save(tiny.build(bert, head, pooling=pooling, prompts=PROMPTS), tmp_path / "new")
    old = made_old(tmp_path / "new", tmp_path / "old")
    assert contract_of(old).space == new.space
    assert contract_of(old).fingerprint == new.fingerprint
    assert contract_of(old).view == new.view
    model = load(old, device="cpu")
    assert model.max_seq_length == 64
    assert np.array_equal(model.encode_query(texts), load(tmp_path / "new", device="cpu").encode_query(texts))
    model.save(tmp_path / "again", create_model_card=False)
    assert Contract.read(tmp_path / "again").fingerprint == new.fingerprint


def test_the_four_switches_of_the_first_versions_are_enough(bert, tmp_path):
    new = save(tiny.build(bert), tmp_path / "new", probes=False)
    old = made_old(tmp_path / "new", tmp_path / "old", switches=tuple(OLD_SWITCHES)[:4])
    assert contract_of(old).fingerprint == new.fingerprint
    entry = next(entry for entry in read_model_folder(old).modules if entry.kind == "Pooling")
    assert "pooling_mode" not in entry.config


def test_the_length_of_an_older_folder_wins_over_the_tokenizers(bert, tmp_path):
    save(tiny.build(bert), tmp_path / "new", probes=False)
    old = made_old(tmp_path / "new", tmp_path / "old")
    (old / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48, "do_lower_case": False}))
    assert contract_of(old).space["max_length"] == load(old, device="cpu").max_seq_length == 48


def test_positions_that_begin_after_the_padding_are_not_counted(bert, tmp_path):
    """RoBERTa's 514 positions hold 512 tokens."""
    save(tiny.build(bert), tmp_path / "m", probes=False)
    old = made_old(tmp_path / "m", tmp_path / "old")
    config = {**read(old / "config.json"), "model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    (old / "config.json").write_text(json.dumps(config))
    (old / "sentence_bert_config.json").unlink()
    (old / "tokenizer_config.json").unlink()
    assert contract_of(old).space["max_length"] == 512
