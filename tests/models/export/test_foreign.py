"""ONNX files from elsewhere: a table of token vectors as a graph, written by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason='needs the extra "onnx"')
pytest.importorskip("onnx", reason='needs the extra "onnx"')

import onnx

from vecsmith.errors import ContractError
from vecsmith.models.encode import encode
from vecsmith.models.onnx_encoder import OnnxEncoder, default_threads
from vecsmith.models.token_pooling import POOLING_MODES, pool_tokens

TABLE = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
VOCABULARY = {"[PAD]": 0, "[UNK]": 1, "stone": 2, "bridge": 3, "river": 4, "find": 5}
TEXTS = ["stone bridge river", "river", "stone stone", "bridge"]


def write_graph(file: Path, output: str, *, kind: int = onnx.TensorProto.INT64, extra: str | None = None) -> None:
    """input_ids -> rows of TABLE, called `output`; mean over the length where it is a sentence vector."""
    helper, shape = onnx.helper, ["batch", "length"]
    names = ["input_ids", "attention_mask", *([extra] if extra else [])]
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name in names]
    tokens = output if output != "sentence_embedding" else "tokens"
    nodes = [helper.make_node("Gather", ["table", "input_ids"], [tokens])]
    sizes = [*shape, 4]
    if tokens != output:
        nodes.append(helper.make_node("ReduceMean", [tokens, "axis"], [output], keepdims=0))
        sizes = ["batch", 4]
    outputs = [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, sizes)]
    held = [onnx.numpy_helper.from_array(TABLE, "table"), onnx.numpy_helper.from_array(np.array([1]), "axis")]
    graph = helper.make_graph(nodes, "table", inputs, outputs, held)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(file))


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def make(output: str, *, inside: str = "", config: dict[str, object] | None = None, **options: object) -> Path:
        write_tokenizer(tmp_path)
        (tmp_path / inside).mkdir(exist_ok=True)
        write_graph(tmp_path / inside / "model.onnx", output, **options)
        if config is not None:
            (tmp_path / "1_Pooling").mkdir()
            (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
        return tmp_path

    return make


def rows_of(text: str) -> np.ndarray:
    return TABLE[[VOCABULARY[word] for word in text.split()]]


@pytest.mark.parametrize("output", ["last_hidden_state", "token_embeddings"])
def test_token_vectors_are_pooled_as_the_pooling_folder_says(make, output):
    folder = make(output, inside="onnx", config={"word_embedding_dimension": 4, "pooling_mode_max_tokens": True})
    expected = np.stack([rows_of(text).max(axis=0) for text in TEXTS])
    for path in (folder, folder / "onnx" / "model.onnx"):
        encoder = OnnxEncoder.open(path)
        assert np.allclose(encode(encoder, TEXTS), expected)
        assert encoder.contract.space["pooling"] == "max"
    assert OnnxEncoder.open(folder, truncate_dim=2).encode(TEXTS).shape == (4, 2)


def test_token_vectors_without_pooling_are_an_error_that_asks(make):
    folder = make("last_hidden_state")
    with pytest.raises(ContractError, match=r"nothing near it says how token vectors become one vector.*pooling="):
        OnnxEncoder.open(folder)
    expected = np.stack([rows_of(text).mean(axis=0) for text in TEXTS])
    assert np.allclose(OnnxEncoder.open(folder, pooling="mean").encode(TEXTS), expected, atol=1e-6)
    with pytest.raises(ContractError, match='pooling is "middle"'):
        OnnxEncoder.open(folder, pooling="middle")


def test_sentence_vectors_are_taken_as_they_are(make):
    folder = make("sentence_embedding", kind=onnx.TensorProto.INT32)
    encoder = OnnxEncoder.open(folder / "model.onnx")
    assert (encoder.is_unit, encoder.dimension, encoder.folder) == (False, 4, None)
    assert np.allclose(encoder.embed(["stone bridge"])[0], rows_of("stone bridge").mean(axis=0), atol=1e-6)
    assert encoder.contract.fingerprint == OnnxEncoder.open(folder).contract.fingerprint


def test_what_is_missing_or_unknown_is_named(make, tmp_path):
    with pytest.raises(ContractError, match=r"holds no \.onnx file"):
        OnnxEncoder.open(tmp_path)
    folder = make("hidden")
    with pytest.raises(ContractError, match=r"gives hidden.*expected sentence_embedding"):
        OnnxEncoder.open(folder)
    make("sentence_embedding", extra="position_ids")
    with pytest.raises(ContractError, match=r"reads input_ids tensor.int64., attention_mask"):
        OnnxEncoder.open(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ContractError, match=r"no tokenizer\.json beside it or in the folder above"):
        OnnxEncoder.open(folder / "model.onnx")
    (folder / "model.onnx").rename(folder / "a.onnx")
    (folder / "b.onnx").write_bytes(b"")
    with pytest.raises(ContractError, match=r"holds 2 ONNX files \(a\.onnx, b\.onnx\)"):
        OnnxEncoder.open(folder)


def test_a_graph_that_ends_before_a_dense_layer_is_refused(make):
    folder = make("last_hidden_state", config={"word_embedding_dimension": 4, "pooling_mode_mean_tokens": True})
    kinds = ["Transformer", "Pooling", "Dense"]
    entries = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(ContractError, match=r"before the model's Dense. Export the whole model"):
        OnnxEncoder.open(folder)


@pytest.mark.parametrize("mode", POOLING_MODES)
@pytest.mark.parametrize("left", [False, True])
def test_pooling_is_that_of_sentence_transformers(mode, left):
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling

    generator = np.random.default_rng(3)
    tokens = generator.normal(size=(5, 7, 4)).astype(np.float32)
    mask = (np.arange(7)[None] < np.array([1, 2, 5, 6, 7])[:, None]).astype(np.int64)
    mask = mask[:, ::-1].copy() if left else mask
    features = {"token_embeddings": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
    expected = Pooling(4, pooling_mode=mode)(features)["sentence_embedding"].numpy()
    assert np.abs(pool_tokens(tokens, mask, mode) - expected).max() < 1e-6


def test_threads_are_those_of_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert default_threads() >= 1
