"""Exports for OpenVINO."""

import sys

import numpy as np
import pytest

import vecsmith as vs
from vecsmith.cli.main import run
from vecsmith.errors import ContractError, Damaged, MissingExtra, Tampered
from vecsmith.models.encoder import open_encoder
from vecsmith.models.export.openvino import export_openvino

pytest.importorskip("onnxscript", reason='needs the extra "openvino"')

TEXTS = ["", "a stone bridge", "how do I reset the router?", "seven quiet villages near the river " * 20]


@pytest.mark.usefixtures("graph_of_bert")
def test_an_openvino_folder_gives_the_models_vectors_through_every_door(bert, tmp_path, capsys):
    pytest.importorskip("openvino", reason='needs the extra "openvino"')
    folder = tmp_path / "out"
    assert run(["export", str(bert), "--to", "openvino", "--output", str(folder)]) == 0
    assert "verdict: same" in capsys.readouterr().out
    source = vs.load(bert, on_truncation="cut")
    expected = source.encode(TEXTS)
    encoder = open_encoder(folder, on_truncation="cut")
    assert encoder.contract.fingerprint == source.contract.fingerprint
    assert np.abs(encoder.embed(TEXTS) - expected).max() < 1e-5
    assert np.abs(vs.load(folder, on_truncation="cut").encode(TEXTS) - expected).max() < 1e-5
    weights = folder / "openvino_model.bin"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    with pytest.raises(Tampered, match=r"openvino_model\.bin has sha256"):
        open_encoder(folder)
    (folder / "openvino_model.xml").write_text("<no>")
    with pytest.raises(Damaged, match="cannot be opened by OpenVINO"):
        vs.load(folder, verify=False)


def test_a_missing_runtime_names_the_extra(bert, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match=r'pip install "vecsmith\[openvino\]"'):
        export_openvino(bert, tmp_path / "out")
    from vecsmith.models.openvino_encoder import OpenVinoEncoder

    with pytest.raises(ContractError, match=r"holds no openvino_model\.xml"):
        OpenVinoEncoder.open(tmp_path)
