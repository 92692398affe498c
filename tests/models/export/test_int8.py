"""Products in 8 bits: a declared view of the same space, built once, with its loss in the contract."""

import sys

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason='needs the extra "onnx"')

import vecsmith as vs
from vecsmith.cli.main import run
from vecsmith.contract.compare import Convertible, Different
from vecsmith.errors import MissingExtra, UsageError
from vecsmith.models.encode import encode
from vecsmith.models.encoder import open_encoder
from vecsmith.models.export import cached
from vecsmith.models.export.int8 import has_wide_sums
from vecsmith.models.export.onnx import export_onnx
from vecsmith.models.onnx_encoder import OnnxEncoder

TEXTS = ["", "a stone bridge", "how do I reset the router?", "seven quiet villages near the river " * 20]


def test_int8_is_another_view_of_the_same_space(bert, int8_bert):
    source, written = vs.load(bert).contract, int8_bert.contract
    assert written.fingerprint == source.fingerprint
    assert written.view["dtype"] == "int8"
    quantisation = written.record["quantisation"]
    assert "int8 per channel" in quantisation["method"]
    assert quantisation["weight_bits"] == (8 if has_wide_sums() else 7)
    assert quantisation["loss"] == "loss not measured"
    assert vs.compare(source, written) == Convertible(("round to int8",))
    assert isinstance(vs.compare(written, source), Different)  # what was lost does not come back


def test_int8_vectors_are_near_and_the_products_are_whole_numbers(bert, int8_bert):
    import onnx

    expected = vs.load(bert, on_truncation="cut").encode(TEXTS)
    found = encode(open_encoder(int8_bert.folder), TEXTS, on_truncation="cut")
    assert np.abs(found - expected).max() < 5e-2
    assert (found * expected).sum(axis=1).min() > 0.97
    nodes = [node.op_type for node in onnx.load(int8_bert.folder / "model.onnx").graph.node]
    assert nodes.count("MatMulInteger") == 6  # query, key, value, output, and two of the feed-forward part


def test_an_int8_file_with_weights_of_7_bits_is_near_too(exported_bert, bert, tmp_path):
    from vecsmith.models.export.int8 import quantise_graph

    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("tokenizer.json", "embedding.json"):
        (copy / name).write_bytes((exported_bert.folder / name).read_bytes())
    quantise_graph(exported_bert.folder / "model.onnx", copy / "model.onnx", bits=7)
    found = OnnxEncoder.open(copy, verify=False).embed(TEXTS)
    assert (found * vs.load(bert, on_truncation="cut").encode(TEXTS)).sum(axis=1).min() > 0.95


@pytest.mark.usefixtures("graph_of_bert")
def test_int8_is_built_once_and_used_again(bert, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = vs.load(bert, dtype="int8", on_truncation="cut")
    built = list((tmp_path / "vecsmith" / "int8").iterdir())
    assert len(built) == 1
    assert built[0].name.startswith(model.contract.fingerprint)
    assert model.contract.view["dtype"] == "int8"
    monkeypatch.setattr("vecsmith.models.export.onnx.export_onnx", lambda *_, **__: pytest.fail("built twice"))
    encoder = open_encoder(bert, dtype="int8", on_truncation="cut")
    assert np.allclose(model.encode(TEXTS), encoder.encode(TEXTS))
    assert np.allclose(model.encode(TEXTS, convert_to_tensor=True).norm(dim=1).numpy(), 1, atol=1e-5)
    assert open_encoder(built[0]).contract.view["dtype"] == "int8"
    with pytest.raises(UsageError, match="train the float32 model"):
        model.train()
    assert vs.load(bert).contract.view["dtype"] == "float32"  # never taken unasked


def test_an_index_made_in_int8_is_asked_in_int8(int8_bert, tmp_path):
    index = vs.Index.create(tmp_path / "index", model=vs.load(int8_bert.folder))
    index.add([{"id": "a", "text": "the stone bridge"}, {"id": "b", "text": "seven villages"}])
    again = vs.Index.open(tmp_path / "index")
    assert next(iter(again.search("the stone bridge", k=1, mode="dense"))).id == "a"
    assert (tmp_path / "index" / "model" / "model.onnx").is_file()


@pytest.mark.usefixtures("graph_of_bert")
def test_what_int8_costs_stands_in_the_contract(bert, tmp_path, capsys):
    rows = [("stone bridge", "bridge of stone", 5.0), ("seven villages", "a river", 1.0), ("old wall", "wall", 3.0)]
    lines = ["sentence1\tsentence2\tscore", *("\t".join(map(str, row)) for row in rows * 4)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    suite = tmp_path / "small.yaml"
    suite.write_text(
        "name: small\nabout: pairs\ntasks:\n  - {name: Pairs, kind: scored, path: pairs.tsv, score_range: [0, 5],\n"
        "     columns: {left: sentence1, right: sentence2, score: score}, metric: spearman}\n"
    )
    command = ["export", str(bert), "--dtype", "int8", "--output", str(tmp_path / "out")]
    assert run([*command, "--suite", str(suite), "--data-root", str(tmp_path)]) == 0
    loss = vs.load(tmp_path / "out").contract.record["quantisation"]["loss"]
    assert set(loss["Pairs"]) == {"metric", "float32", "int8", "difference", "interval"}
    assert loss["Pairs"]["metric"] == "spearman"
    assert loss["Pairs"]["difference"] == pytest.approx(loss["Pairs"]["int8"] - loss["Pairs"]["float32"], abs=2e-5)
    assert "Pairs" in capsys.readouterr().out


def test_the_loss_of_minilm_was_measured_before(minilm_folder):
    from vecsmith.contract.describe import contract_of
    from vecsmith.models.export.int8 import known_loss

    fingerprint = contract_of(minilm_folder).fingerprint
    loss = known_loss(fingerprint, 8)
    assert loss["STSBenchmark"]["float32"] == pytest.approx(0.82032, abs=3e-4)  # the published score
    assert loss["SciFact"]["float32"] == pytest.approx(0.64508, abs=3e-4)
    assert abs(loss["STSBenchmark"]["difference"]) < 0.01
    assert known_loss(fingerprint, 7) == known_loss("0" * 12, 8) == "loss not measured"


def test_what_has_no_int8_form_says_so(bert, static_folder, exported_bert, monkeypatch):
    with pytest.raises(UsageError, match="is a static model"):
        vs.load(static_folder, dtype="int8")
    with pytest.raises(UsageError, match="is an ONNX model in float32"):
        vs.load(exported_bert.folder, dtype="int8")
    with pytest.raises(UsageError, match="an ONNX graph is fixed"):
        vs.load(bert, dtype="int8", prompts={"query": "q: "})
    for door in (vs.load, open_encoder):
        with pytest.raises(UsageError, match="computes as it was exported"):
            door(exported_bert.folder, dtype="bfloat16")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(cached, "cache_folder", lambda: exported_bert.folder / "none")
    with pytest.raises(MissingExtra, match=r'pip install "vecsmith\[onnx\]"'):
        vs.load(bert, dtype="int8")


@pytest.mark.slow
def test_minilm_keeps_its_neighbours_in_int8(minilm_folder, tmp_path):
    found = export_onnx("all-MiniLM-L6-v2", tmp_path / "out", dtype="int8")
    assert found.report.same
    assert min(row.cosine for row in found.report.rows) > 0.97
