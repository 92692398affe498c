"""The sixteen probe inputs."""

import numpy as np
import pytest

from vecsmith.contract.probes import PROBES, TOLERANCES, check, check_once, probe_vectors
from vecsmith.errors import ContractError


def encode(texts, role, *, shift=0.0, width=6):
    """A stand-in that depends on text and role."""
    seeds = [sum(text.encode()) + len(text) + 7 * len(role or "") for text in texts]
    return np.stack([np.random.default_rng(seed).normal(size=width) for seed in seeds]) + shift


def test_there_are_sixteen_and_no_two_are_the_same():
    assert len(PROBES) == 16
    assert len({(text, role) for _, text, role in PROBES}) == 16
    assert {role for _, _, role in PROBES} == {None, "query", "document"}
    assert len(next(text for name, text, _ in PROBES if name == "long").split()) > 512


def test_the_model_that_made_them_passes():
    report = check(encode, probe_vectors(encode))
    assert report.passed
    assert report.worst < 1e-6
    report.require("it")


def test_a_prompted_probe_that_differs_is_named():
    probes = probe_vectors(encode)

    def other(texts, role):
        return encode(texts, role, shift=0.1 if role == "query" else 0.0)

    report = check(other, probes)
    assert (report.name, report.passed) == ("query", False)
    with pytest.raises(ContractError, match=r'out/model gives other vectors.*probe "query" differs by .*re-embed'):
        report.require("out/model")


@pytest.mark.parametrize("dtype", sorted(TOLERANCES))
def test_each_dtype_has_its_tolerance(dtype):
    probes = probe_vectors(lambda texts, role: encode(texts, role) * 1e-3)
    inside, outside = TOLERANCES[dtype] * 0.9, TOLERANCES[dtype] * 1.5
    assert check(lambda t, r: encode(t, r) * 1e-3 + inside, probes, dtype=dtype).passed
    assert not check(lambda t, r: encode(t, r) * 1e-3 + outside, probes, dtype=dtype).passed


def test_a_model_that_gives_nan_is_refused_and_fails():
    with pytest.raises(ContractError, match='probe "empty" gives NaN'):
        probe_vectors(lambda texts, role: np.full((len(texts), 3), np.nan))
    report = check(lambda t, r: np.full((len(t), 6), np.nan), probe_vectors(encode))
    assert not report.passed


def test_another_width_is_an_error():
    with pytest.raises(ContractError, match="width 5, its contract has 6"):
        check(lambda t, r: encode(t, r, width=5), probe_vectors(encode))


def test_the_probes_run_once_for_a_folder_its_contract_and_the_versions(tmp_path):
    calls = []

    def counted(texts, role):
        calls.append(role)
        return encode(texts, role)

    probes = probe_vectors(encode)
    same = {"folder": tmp_path / "model", "fingerprint": "f", "versions": ("numpy 2",)}
    for _ in range(2):
        check_once(counted, probes, **same)
    assert len(calls) == 3
    for change in ({"versions": ("numpy 3",)}, {"fingerprint": "g"}, {"folder": tmp_path / "other"}):
        calls.clear()
        check_once(counted, probes, **{**same, **change})
        assert len(calls) == 3


def test_failed_probes_fail_again(tmp_path):
    probes = probe_vectors(encode)
    for _ in range(2):
        with pytest.raises(ContractError, match="gives other vectors than its contract"):
            check_once(
                lambda texts, role: encode(texts, role, shift=1.0),
                probes,
                folder=tmp_path,
                fingerprint="f",
                versions=(),
            )
