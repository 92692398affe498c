"""Each cause of other vectors is planted once, and named."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Dense

from vecsmith.errors import DataError, UsageError
from vecsmith.models.load import load
from vecsmith.models.parity import parity
from vecsmith.models.save import save

spec = importlib.util.spec_from_file_location("tiny_bert", Path(__file__).with_name("tiny_bert.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture(scope="module")
def bert(tmp_path_factory, minilm_folder):
    return tiny.write_bert(tmp_path_factory.mktemp("bert"), minilm_folder)


@pytest.fixture(scope="module")
def folder(bert, tmp_path_factory):
    """Transformer -> mean -> Dense to 16 -> Normalize, 64 tokens, with prompts."""
    torch.manual_seed(5)
    target = tmp_path_factory.mktemp("model") / "model"
    save(tiny.build(bert, Dense(tiny.WIDTH, 16, activation_function=torch.nn.Tanh()), prompts=PROMPTS), target)
    return target


@pytest.fixture(scope="module")
def model(folder):
    return load(folder, device="cpu")


def without_module(folder, target, number):
    shutil.copytree(folder, target)
    (target / "embedding.json").unlink()
    listed = json.loads((target / "modules.json").read_text())
    del listed[number]
    (target / "modules.json").write_text(json.dumps(listed))
    return target


def with_tokenizer(folder, target, change):
    shutil.copytree(folder, target)
    (target / "embedding.json").unlink()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        content = json.loads((target / name).read_text())
        change(content)
        (target / name).write_text(json.dumps(content))
    return target


def keep_case(content):
    if "normalizer" in content:
        content["normalizer"]["lowercase"] = False
    if "do_lower_case" in content:
        content["do_lower_case"] = False


PLANTS = {
    "pooling cls": (
        lambda f, t: tiny.edited(f, t, "1_Pooling/config.json", pooling_mode="cls", pooling_mode_cls_token=True,
                                 pooling_mode_mean_tokens=False),
        "pooling", "takes the first token ([CLS]) instead of the mean of the tokens"),
    "pooling last": (
        lambda f, t: tiny.edited(f, t, "1_Pooling/config.json", pooling_mode="lasttoken"),
        "pooling", "takes the last token"),
    "pooling max": (
        lambda f, t: tiny.edited(f, t, "1_Pooling/config.json", pooling_mode="max"),
        "pooling", "takes the largest of the tokens"),
    "no prompts": (
        lambda f, t: tiny.edited(f, t, "config_sentence_transformers.json", prompts={}),
        "prompt", "does not add the prompt"),
    "query prompt on documents": (
        lambda f, t: tiny.edited(f, t, "config_sentence_transformers.json",
                                 prompts={"query": "query: ", "document": "query: "}),
        "prompt", "puts the query prompt before documents"),
    "prompts swapped": (
        lambda f, t: tiny.edited(f, t, "config_sentence_transformers.json",
                                 prompts={"document": "query: ", "query": "passage: "}),
        "prompt", "swaps the prompts"),
    "not normalised": (lambda f, t: without_module(f, t, 3), "normalisation", "it does not normalise"),
    "cut at 32": (
        lambda f, t: tiny.edited(tiny.edited(f, t.with_name("half"), "sentence_bert_config.json", max_seq_length=32), t,
                                 "tokenizer_config.json", model_max_length=32),
        "truncation", "cuts inputs after 32 tokens"),
    "cut at 41": (
        lambda f, t: tiny.edited(tiny.edited(f, t.with_name("half"), "sentence_bert_config.json", max_seq_length=41), t,
                                 "tokenizer_config.json", model_max_length=41),
        "truncation", "cuts inputs after 41 tokens"),
    "dense skipped": (lambda f, t: without_module(f, t, 2), "dense", "leaves out the Dense module 2"),
    "activation skipped": (
        lambda f, t: tiny.edited(f, t, "2_Dense/config.json", activation_function="torch.nn.modules.linear.Identity"),
        "dense", "leaves out the activation"),
    "case kept": (lambda f, t: with_tokenizer(f, t, keep_case), "tokenizer", "does not lower-case"),
    "two at once": (
        lambda f, t: tiny.edited(tiny.edited(f, t.with_name("half"), "1_Pooling/config.json", pooling_mode="cls"), t,
                                 "config_sentence_transformers.json", prompts={}),
        "pooling", "([CLS]) instead of the mean of the tokens; it also does not add the prompt"),
}  # fmt: skip


READERS = [(plant, "vecsmith") for plant in PLANTS] + [("no prompts", "sentence-transformers")]


@pytest.mark.parametrize(("plant", "reader"), READERS)
def test_a_planted_cause_in_a_folder_is_named(folder, model, tmp_path, plant, reader):
    make, kind, words = PLANTS[plant]
    report = parity(model, make(folder, tmp_path / "planted"), reader=reader)
    assert report.verdict == ("same direction, other length" if plant == "not normalised" else "different")
    assert (report.cause.kind, report.cause.is_sure) == (kind, True), str(report)
    assert words in report.cause.words
    assert report.cause.residual < 1e-5


def test_a_folder_is_the_same_as_itself_by_both_readers(folder, model):
    assert model.contract.fingerprint
    for reader in ("vecsmith", "sentence-transformers"):
        report = parity(folder, folder, reader=reader)
        assert (report.verdict, report.cause) == ("same", None), str(report)
        assert len(report.rows) == 16
        assert all(row.cosine > 0.999999 for row in report.rows)


def test_other_weights_another_model_and_another_tokenizer_are_told_by_exclusion(
    folder, model, minilm_folder, tmp_path
):
    near = load(folder, device="cpu")
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in near[0].parameters():
            weight.add_(0.3 * weight.std() * torch.randn_like(weight))
    report = parity(model, near)
    assert (report.cause.kind, report.cause.is_sure) == ("weights", False), str(report)
    other = tiny.build(
        tiny.write_bert(tmp_path / "other", minilm_folder, seed=9), Dense(tiny.WIDTH, 16), prompts=PROMPTS
    )
    save(other, tmp_path / "saved")
    report = parity(model, tmp_path / "saved")
    assert (report.cause.kind, report.cause.is_sure) == ("weights", False)
    assert "their hashes differ" in report.cause.words
    report = parity(model, lambda texts: np.ones((len(texts), 384)))
    assert report.cause.kind == "model"
    assert "vectors of 384 components where the model has 16" in report.cause.words
    assert "width 16 against 384" in str(report)
    assert max(map(len, str(report).splitlines()[1:])) <= 80


def test_the_number_type_is_named_where_differences_are_small_everywhere(folder, model):
    half = load(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
    report = parity(model, half)
    assert (report.verdict, report.cause.kind) == ("different", "precision"), str(report)
    assert "the size that" in report.cause.words
    dtype = report.cause.words.rpartition("the size that ")[2].split()[0]
    assert parity(model, half, dtype=dtype).same


def test_a_static_model_is_compared_too(static_folder, tmp_path):
    assert parity(static_folder, static_folder, reader="sentence-transformers").same
    planted = without_module(save_static(static_folder, tmp_path / "saved"), tmp_path / "planted", 1)
    report = parity(static_folder, planted)
    assert (report.verdict, report.cause.kind) == ("same direction, other length", "normalisation")


def save_static(folder, target):
    save(load(folder, device="cpu"), target)
    return target


def served(model, **change):
    """What a server with its own habits gives for a bare text."""
    before, edit = change.get("before", ""), change.get("edit", str)

    def encode(texts):
        return model.encode([before + edit(text) for text in texts]) * change.get("scale", 1.0)

    return encode


@pytest.mark.parametrize("route", ["/v1/embeddings", "/embed"])
def test_a_server_that_gets_bare_texts_lacks_the_prompts(serving, model, route):
    with serving(served(model)) as server:
        report = parity(model, server.url + route)
        assert (report.cause.kind, report.cause.probes) == ("prompt", ("query", "document"))
        assert "does not add the prompt" in report.cause.words
        assert parity(model, server.url + route, prompts="text").same


def test_a_server_that_adds_its_prompt_to_a_prompted_text_is_told(serving, model):
    with serving(served(model, before="query: ")) as server:
        report = parity(model, server.url + "/embed", prompts="text")
        assert report.cause.kind == "prompt"
        assert 'puts its prompt "query" before what it gets' in report.cause.words


def test_newlines_replaced_by_spaces_are_told(serving, tmp_path):
    """A tokenizer to which a newline is a word of its own."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted(
        {c for text in ("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ .,:()->=_\t\n",) for c in text}
    )
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, **{w: n + 1 for n, w in enumerate(words)}}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    table = np.random.default_rng(0).normal(size=(len(words) + 1, 8)).astype(np.float32)
    save_file({"embedding.weight": table}, str(tmp_path / "model.safetensors"))
    entry = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}
    (tmp_path / "modules.json").write_text(json.dumps([entry]))
    model = load(tmp_path, device="cpu")
    with serving(served(model, edit=lambda text: text.replace("\n", " "))) as server:
        report = parity(model, server.url + "/embed")
        assert (report.cause.kind, report.cause.probes) == ("newlines", ("space", "padded")), str(report)
    with serving(served(model, edit=str.lower)) as server:
        report = parity(model, server.url + "/embed")
        assert (report.cause.kind, report.cause.is_sure) == ("tokenizer", True)
        assert "lower-cases texts" in report.cause.words
    with serving(served(model, scale=2.0)) as server:
        report = parity(model, server.url + "/embed")
        assert (report.verdict, report.cause.kind) == ("same direction, other length", "normalisation")


def test_two_causes_on_different_inputs_are_both_named(serving, folder, model):
    short = load(folder, device="cpu")
    short.max_seq_length = 41
    with serving(served(short)) as server:
        report = parity(model, server.url + "/embed")
    assert report.cause.is_sure, str(report)
    assert set(report.cause.probes) == {"long", "query", "document"}
    assert "does not add the prompt (seen on query, document)" in report.cause.words
    assert "cuts inputs after 41 tokens (seen on long)" in report.cause.words


def test_what_a_server_refuses_is_left_out_and_said(serving, model):
    with serving(served(model), fault="refuses empty") as server:
        report = parity(model, server.url + "/embed", prompts="text", texts=["", "one more text"])
    assert report.same
    assert [row.name for row in report.rows if row.refused] == ["empty", "text 1"]
    assert "refused: 422: `inputs` cannot be empty" in str(report)
    assert "2 inputs were refused by the target and not compared" in str(report)


class LangChainLike:
    """Documents and queries alike, without prompts."""

    def __init__(self, model):
        self.model = model

    def embed_documents(self, texts):
        return self.model.encode(texts).tolist()

    def embed_query(self, text):
        return self.embed_documents([text])[0]


def test_objects_of_frameworks_and_functions_are_targets(model):
    report = parity(model, LangChainLike(model))
    assert (report.cause.kind, report.cause.probes) == ("prompt", ("query", "document"))
    assert parity(model, lambda texts: model.encode(texts)).cause.kind == "prompt"
    assert parity(model, model).same
    with pytest.raises(DataError, match=r"shape .* for 14 texts; expected one row per text"):
        parity(model, lambda texts: np.zeros(3))
    with pytest.raises(DataError, match="gives NaN or infinity"):
        parity(model, lambda texts: np.full((len(texts), 16), np.nan))


def test_what_is_no_target_is_refused_in_words(model, tmp_path):
    for target, words in [
        ("python:json", "is not python:MODULE:OBJECT"),
        ("python:no_such_module:thing", "No module named"),
        ("python:json:nothing", "has no attribute"),
        ("python:sys:path", "has none of encode, embed_documents"),
        ("no-such-model", "no model"),
    ]:
        with pytest.raises(UsageError, match=words):
            parity(model, target)
    with pytest.raises(UsageError, match="dtype is"):
        parity(model, model, dtype="fp8")
    with pytest.raises(UsageError, match="reader is"):
        parity(model, model, reader="tei")
