"""Exported graphs against plain sentence-transformers, whole and through every door of vecsmith."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason='needs the extra "onnx"')

import vecsmith as vs
from vecsmith.cli.main import run
from vecsmith.contract.contract import Contract
from vecsmith.errors import ContractError, Damaged, MissingExtra, Tampered, UsageError
from vecsmith.models.encode import encode
from vecsmith.models.encoder import open_encoder
from vecsmith.models.export.onnx import export_onnx
from vecsmith.models.onnx_encoder import OnnxEncoder

WORDS = ["the", "old", "stone", "bridge", "crosses", "a", "wide", "river", "near", "seven", "villages"]
LENGTHS = (0, 1, 2, 3, 9, 30, 62, 200)  # words; the model keeps 64 tokens
MIXED = [" ".join(WORDS[n % len(WORDS)] for n in range(length)) for length in LENGTHS]


def plain(folder: Path, texts: list[str], **options: object) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(texts, **options)


@pytest.mark.parametrize(
    ("family", "pooling", "dense"), [("roberta", "mean", None), ("bert", "cls", 24)], ids=["roberta", "cls and dense"]
)
def test_every_pipeline_is_in_the_graph(make_small, tmp_path, monkeypatch, family, pooling, dense):
    folder = make_small(family, pooling, dense)
    if dense is not None:  # as models over 2 GB are written
        monkeypatch.setattr("vecsmith.models.export.graph.LARGEST_FILE", 1_000)
    found = export_onnx(folder, tmp_path / "out")
    assert found.report.same
    assert ("model.onnx.data" in found.contract.record["files"]) == (dense is not None)
    encoder = OnnxEncoder.open(tmp_path / "out")
    assert encoder.dimension == (dense or 32)
    assert np.abs(encoder.embed(MIXED) - plain(folder, MIXED)).max() < 1e-5


def test_a_graph_takes_any_batch_and_any_length(bert, exported_bert):
    encoder, expected = OnnxEncoder.open(exported_bert.folder), plain(bert, MIXED)
    assert np.abs(encoder.embed(MIXED) - expected).max() < 1e-5  # the shortest is nearly all padding
    for text, vector in zip(MIXED, expected, strict=True):  # batches of one, of 2 to 64 tokens
        assert np.abs(encoder.embed([text])[0] - vector).max() < 1e-5
    many = encoder.embed(MIXED * 20)
    assert np.abs(many - np.tile(expected, (20, 1))).max() < 1e-5


def test_a_graph_runs_as_its_readme_says(bert, exported_bert, tmp_path, monkeypatch):
    page = (exported_bert.folder / "README.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(exported_bert.folder)
    names: dict[str, object] = {}
    exec(code, names)
    texts = ["How do I reset the router?", "Hold the button for ten seconds."]
    assert np.abs(names["vectors"] - plain(bert, texts)).max() < 1e-5
    assert '- query: `"find: "`' in page
    assert str(Path.home()) not in page


def test_the_graph_holds_no_path_of_this_machine(exported_bert):
    content = (exported_bert.folder / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_an_export_is_the_same_space(bert, exported_bert):
    source, written = vs.load(bert).contract, Contract.read(exported_bert.folder)
    assert written.fingerprint == source.fingerprint
    assert (written.view["dtype"], written.view["width"], written.view["normalised"]) == ("float32", 32, True)
    assert "onnxruntime" in written.record["versions"]
    assert "model.onnx" in written.record["files"]
    assert str(vs.compare(source, written)) == "Same()"


def test_every_door_opens_an_exported_folder(bert, exported_bert, tmp_path, capsys):
    folder, expected = exported_bert.folder, plain(bert, MIXED)
    assert np.abs(encode(open_encoder(folder), MIXED, on_truncation="cut") - expected).max() < 1e-5
    for role, prompt in (("query", "find: "), ("passage", "text: "), ("document", "")):
        found = encode(open_encoder(folder), MIXED, prompt=role, on_truncation="cut")
        assert np.abs(found - plain(bert, MIXED, prompt=prompt)).max() < 1e-5
    model = vs.load(folder, on_truncation="cut")
    assert np.abs(model.encode(MIXED) - expected).max() < 1e-5
    (tmp_path / "a.txt").write_text("stone\nbridge\n")
    assert run(["encode", str(folder), str(tmp_path / "a.txt"), "--output", str(tmp_path / "v")]) == 0
    index = vs.Index.create(tmp_path / "index", model=str(folder))
    index.add([{"id": "a", "text": "the stone bridge"}, {"id": "b", "text": "seven villages"}])
    assert next(iter(vs.Index.open(tmp_path / "index").search("the stone bridge", k=1, mode="dense"))).id == "a"
    assert run(["parity", str(bert), str(folder)]) == 0
    assert "verdict: same" in capsys.readouterr().out
    assert run(["doctor", str(folder)]) == 0
    assert "probe inputs give the contract's vectors" in " ".join(capsys.readouterr().out.split())


def test_an_onnx_model_is_used_like_any_other(bert, exported_bert, tmp_path):
    model, expected = vs.load(exported_bert.folder, on_truncation="cut"), plain(bert, MIXED)
    tensor = model.encode(MIXED, convert_to_tensor=True, normalize_embeddings=True)
    assert np.abs(tensor.numpy() - expected).max() < 1e-5
    assert model.encode("one").shape == (32,)
    assert np.abs(model.similarity(expected, expected).numpy() - expected @ expected.T).max() < 1e-5
    model.truncate_dim = 8
    cut = model.encode(MIXED)
    assert cut.shape == (len(MIXED), 8)
    assert np.allclose(np.linalg.norm(cut, axis=1), 1, atol=1e-6)
    assert model.contract.width == 8
    with pytest.raises(UsageError, match=r"has no weights to train"):
        model.train()
    model.save(tmp_path / "copy")
    assert np.abs(vs.load(tmp_path / "copy", on_truncation="cut").encode(MIXED) - expected).max() < 1e-5
    with pytest.raises(UsageError, match="exists already"):
        model.save(tmp_path / "copy")


def test_a_graph_that_differs_is_not_written_and_exits_1(bert, tmp_path, monkeypatch, capsys):
    import torch

    from vecsmith.models.export import graph

    write = graph.write_graph

    def off(model, file):
        with torch.no_grad():
            model[0].model.encoder.layer[0].output.dense.bias[3] += 0.01
        return write(model, file)

    monkeypatch.setattr(graph, "write_graph", off)
    assert run(["export", str(bert), "--output", str(tmp_path / "out" / "model")]) == 1
    shown = capsys.readouterr()
    assert "verdict: different" in shown.out
    assert "gives other vectors than" in shown.err
    assert "nothing was written" in shown.err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_package_names_the_extra(bert, tmp_path, monkeypatch):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(MissingExtra, match=r'pip install "vecsmith\[onnx\]"'):
                export_onnx(bert, tmp_path / "out")


def test_a_folder_in_the_way_is_kept(exported_bert, bert, tmp_path):
    with pytest.raises(UsageError, match="exists already"):
        export_onnx(bert, exported_bert.folder)
    (tmp_path / "mine").write_text("notes")
    with pytest.raises(UsageError, match="is no export"):
        export_onnx(bert, tmp_path, replace_folder=True)
    assert (tmp_path / "mine").read_text() == "notes"


def test_a_changed_or_broken_graph_is_refused(exported_bert, tmp_path):
    copy = Path(shutil.copytree(exported_bert.folder, tmp_path / "copy"))
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(content)
    with pytest.raises(Tampered, match=r"model\.onnx has sha256"):
        open_encoder(copy)
    (copy / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(Damaged, match="cannot be opened by onnxruntime"):
        OnnxEncoder.open(copy, verify=False)


def test_a_static_model_has_no_graph(static_folder, tmp_path):
    with pytest.raises(ContractError, match="begin with Transformer"):
        export_onnx(static_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("graph_of_bert")
def test_the_command_line_says_what_it_wrote(bert, tmp_path, capsys):
    command = ["export", str(bert), "--output", str(tmp_path / "out"), "--json"]
    assert run(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dtype"], found["quantisation"], found["report"]["verdict"]) == ("float32", None, "same")
    assert found["space"] == Contract.read(tmp_path / "out").fingerprint
    assert run(command) == 2
    assert "exists already" in capsys.readouterr().err
    for wrong, words in (
        (["--to", "tflite"], "known: onnx, openvino, static"),
        (["--dtype", "int4"], "written in float32 or int8"),
        (["--to", "static", "--dtype", "int8"], "is for --to onnx"),
        (["--suite", "small_english"], "it goes with --dtype int8 or --to static"),
    ):
        assert run(["export", str(bert), "--output", str(tmp_path / "none"), *wrong]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_minilm_is_exported_within_1e_5(minilm_folder, tmp_path):
    found = export_onnx("all-MiniLM-L6-v2", tmp_path / "out")
    assert found.contract.name == "all-MiniLM-L6-v2"
    texts = ["", "a", *MIXED, "many words of one text " * 100]  # 2 to 256 tokens
    encoder = OnnxEncoder.open(tmp_path / "out")
    assert np.abs(encoder.embed(texts) - plain(minilm_folder, texts)).max() < 1e-5
