"""bfloat16: taken where it is faster and keeps directions, said, remembered, and told by the contract."""

import logging

import numpy as np
import pytest
import torch

from vecsmith.contract.cache import read_cache
from vecsmith.contract.compare import Convertible, compare
from vecsmith.errors import UsageError
from vecsmith.models import precision
from vecsmith.models.encoder import open_encoder
from vecsmith.models.load import load
from vecsmith.models.precision import LEAST_COSINE, Choice, processor, set_dtype

TEXTS = ["The cat sat on the warm stone wall.", "", "how do I reset the router?", "word " * 300]


@pytest.fixture(scope="module")
def exact(minilm_folder):
    return load(minilm_folder, device="cpu", on_truncation="cut")


def fake_choice(dtype):
    return Choice(dtype, 2.0 if dtype == "bfloat16" else 0.5, 0.9999, "a processor")


def test_bfloat16_keeps_directions_and_the_contract_tells(minilm_folder, exact):
    model = load(minilm_folder, device="cpu", dtype="bfloat16", on_truncation="cut")
    found, expected = model.encode(TEXTS), exact.encode(TEXTS)
    assert model.dtype == torch.bfloat16
    assert found.dtype == np.float32
    assert ((found * expected).sum(axis=1) / np.linalg.norm(found, axis=1)).min() >= LEAST_COSINE
    assert model.contract.view["dtype"] == "bfloat16"
    assert model.contract.fingerprint == exact.contract.fingerprint
    verdict = compare(exact.contract, model.contract)
    assert isinstance(verdict, Convertible)
    assert any("bfloat16" in step for step in verdict.steps)


@pytest.mark.parametrize("taken", ["bfloat16", "float32"])
def test_auto_computes_in_what_it_chose(minilm_folder, monkeypatch, caplog, taken):
    monkeypatch.setattr(precision, "choose_dtype", lambda model, identity: fake_choice(taken))
    with caplog.at_level(logging.INFO, logger="vecsmith"):
        model = load(minilm_folder, device="cpu", dtype="auto")
    assert str(model.dtype) == f"torch.{taken}"
    assert model.contract.view["dtype"] == taken
    assert f'dtype="auto" takes {taken}' in caplog.text


def test_auto_measures_once_per_machine_and_says_what_it_took(exact, caplog, monkeypatch):
    measured = []

    def measure(model, where):
        measured.append(where)
        return fake_choice("float32")

    monkeypatch.setattr(precision, "_measure", measure)
    with caplog.at_level(logging.WARNING, logger="vecsmith"):
        first = precision.choose_dtype(exact, identity="test-weights")
        again = precision.choose_dtype(exact, identity="test-weights")
        other = precision.choose_dtype(exact, identity="other-weights")
    assert first == again == other
    assert len(measured) == 2
    assert len(read_cache("precision")) >= 2
    assert "bfloat16 is 0.50 times as fast" in caplog.text


def test_a_real_measurement_names_both_numbers(exact, monkeypatch):
    monkeypatch.setattr(precision, "ROUNDS", 1)
    choice = precision.choose_dtype(exact)
    assert choice.gain > 0
    assert LEAST_COSINE <= choice.cosine <= 1.0001
    assert (choice.dtype == "bfloat16") == (choice.gain >= precision.LEAST_GAIN)
    assert exact.dtype == torch.float32


def test_bfloat16_that_turns_vectors_is_not_taken(exact, monkeypatch):
    monkeypatch.setattr(precision, "ROUNDS", 1)
    monkeypatch.setattr(precision, "LEAST_COSINE", 1.01)
    monkeypatch.setattr(precision, "LEAST_GAIN", 0.0)
    assert precision.choose_dtype(exact).dtype == "float32"


def test_an_encoder_is_opened_in_the_same_dtypes(minilm_folder):
    encoder = open_encoder(minilm_folder, dtype="bfloat16", device="cpu")
    assert encoder.contract.view["dtype"] == "bfloat16"
    assert encoder.encode_document(["a text"]).dtype == np.float32


def test_an_unknown_dtype_is_named_with_those_that_are_known(minilm_folder):
    with pytest.raises(UsageError, match=r'"float8"; known: float32, bfloat16, auto, int8'):
        load(minilm_folder, dtype="float8")


def test_float32_leaves_a_model_as_it_is(exact):
    assert set_dtype(exact, "float32") == "float32"


def test_the_processor_has_a_name_and_a_class():
    name, kind = processor()
    assert name
    assert kind
