"""Static models written as they are, and transformers distilled into another space."""

import json

import numpy as np
import pytest

import vecsmith as vs
from vecsmith.cli.main import run
from vecsmith.contract.compare import Different
from vecsmith.contract.contract import Contract
from vecsmith.errors import NotEnoughData, UsageError
from vecsmith.models.export.static import agreement_of, export_static, guessed_counts

TEXTS = ["the old stone bridge", "seven quiet villages", "a wide river and a bridge", "the reset button of the router"]


def test_a_static_model_is_written_bit_for_bit(static_folder, texts, tmp_path, capsys):
    from sentence_transformers import SentenceTransformer

    assert run(["export", str(static_folder), "--to", "static", "--output", str(tmp_path / "out")]) == 0
    assert "unchanged bit for bit" in capsys.readouterr().out
    before, after = (SentenceTransformer(str(folder), device="cpu") for folder in (static_folder, tmp_path / "out"))
    assert np.array_equal(before.encode(texts), after.encode(texts))
    assert np.array_equal(before.encode_query(texts), after.encode_query(texts))
    assert Contract.read(tmp_path / "out").fingerprint == vs.load(static_folder).contract.fingerprint


def test_a_transformer_becomes_another_space_with_lineage(bert, tmp_path, capsys):
    from sentence_transformers import SentenceTransformer

    lines = [f"{text} number {row}" for row in range(10) for text in TEXTS]
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    command = ["export", str(bert), "--to", "static", "--texts", str(tmp_path / "texts.txt"), "--width", "8"]
    assert run([*command, "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "An approximation, in a new space" in shown
    assert "similarities of pairs among 40 texts correlate" in shown
    source, written = vs.load(bert).contract, Contract.read(tmp_path / "out")
    assert isinstance(vs.compare(written, source), Different)
    assert written.record["lineage"] == [f"distilled from {source.name} ({source.fingerprint})"]
    assert SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(TEXTS).shape == (4, 8)
    assert run([*command, "--output", str(tmp_path / "out")]) == 2
    assert run([*command, "--output", str(tmp_path / "out"), "--force", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["same_space"], found["agreement"]["texts"]) == (False, 40)


def test_without_texts_frequencies_are_guessed(bert, tmp_path):
    found = export_static(bert, tmp_path / "out", vocabulary=300, dimension=8)
    assert found.agreement["texts"] == 20
    assert vs.load(tmp_path / "out").encode(TEXTS).shape == (4, 8)
    assert np.array_equal(guessed_counts(4), [10**9, 5 * 10**8, 333333333, 25 * 10**7])


def test_too_few_texts_or_a_folder_in_the_way_are_refused(bert, tmp_path):
    with pytest.raises(NotEnoughData, match="different pieces cannot give 32 dimensions"):
        export_static(bert, tmp_path / "out", texts=["one"], dimension=32)
    assert not (tmp_path / "out").exists()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine").write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        export_static(bert, tmp_path / "notes")


def test_agreement_is_one_for_turned_and_stretched_vectors():
    vectors = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    assert agreement_of(vectors, (3 * vectors @ turn).astype(np.float32)) == pytest.approx(1.0, abs=1e-5)
    assert abs(agreement_of(vectors, np.random.default_rng(2).normal(size=(20, 6)).astype(np.float32))) < 0.4
    assert np.isnan(agreement_of(vectors, np.ones((20, 6), dtype=np.float32)))
