"""Codes by stored ranges: sentence-transformers' arithmetic, and nothing of the batch in a code."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sentence_transformers.util import quantize_embeddings

from vecsmith.contract.compare import Convertible, Different, Same, compare
from vecsmith.contract.contract import Contract
from vecsmith.errors import ContractError, NotEnoughData, UsageError
from vecsmith.models.calibration import calibrate_folder
from vecsmith.models.load import load
from vecsmith.models.quantise import (
    PRECISIONS,
    Quantiser,
    calibrate,
    dequantise,
    quantise,
    stored_quantiser,
    with_ranges,
)
from vecsmith.models.save import save
from vecsmith.models.shards import Shards, encode_to
from vecsmith.models.static import StaticEncoder

finite = st.integers(-6400, 6400).map(lambda n: n / 64)
matrices = arrays(np.float32, st.tuples(st.integers(1, 12), st.just(11)), elements=finite)


@given(vectors=matrices, sample=matrices)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_codes_are_those_of_sentence_transformers_with_the_same_ranges(precision, vectors, sample):
    ranges = calibrate(sample)
    codes, outside = quantise(vectors, precision, ranges)
    expected = quantize_embeddings(vectors, precision, ranges=ranges)
    assert codes.dtype == expected.dtype
    assert np.array_equal(codes, expected)
    if "binary" not in precision:
        assert outside == sum(
            not low <= value <= high for row in vectors for value, low, high in zip(row, *ranges, strict=True)
        )


@given(vectors=matrices, others=matrices, place=st.integers(0, 11))
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_code_never_depends_on_its_batch(precision, vectors, others, place):
    ranges = np.stack([np.full(11, -60), np.full(11, 70)]).astype(np.float32)
    alone = np.concatenate([quantise(row[None], precision, ranges)[0] for row in vectors])
    among = np.insert(others, [place % (len(others) + 1)], vectors, axis=0)
    found = quantise(among, precision, ranges)[0]
    start = place % (len(others) + 1)
    assert np.array_equal(found[start : start + len(vectors)], alone)


@given(vectors=matrices, sample=matrices)
@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_what_lies_in_its_range_comes_back_within_half_a_step(precision, vectors, sample):
    ranges = calibrate(np.concatenate([vectors, sample]))
    codes, outside = quantise(vectors, precision, ranges)
    back = dequantise(codes, precision, ranges)
    steps = (ranges[1].astype(np.float64) - ranges[0]) / 255
    steps = np.where(steps == 0, 1, steps)
    rounding = 255 * np.finfo(np.float32).eps * np.abs(ranges).max()
    assert outside == 0
    assert (np.abs(back.astype(np.float64) - vectors) <= steps / 2 * (1 + 1e-4) + rounding).all()


@given(vectors=matrices)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_codes_of_codes_turned_back_are_the_codes(precision, vectors):
    ranges = np.stack([np.full(11, -100), np.full(11, 155)]).astype(np.float32)
    codes, _ = quantise(vectors, precision, ranges)
    again, outside = quantise(dequantise(codes, precision, ranges, width=11), precision, ranges)
    assert np.array_equal(again, codes)
    assert outside == 0


def test_a_component_that_never_changes_comes_back_as_it_is():
    vectors = np.array([[0.25, -1.0], [0.25, 1.0]], dtype=np.float32)
    ranges = calibrate(vectors)
    assert dequantise(quantise(vectors, "int8", ranges)[0], "int8", ranges)[:, 0].tolist() == [0.25, 0.25]


def test_ranges_go_on_from_earlier_ones():
    first, second = np.random.default_rng(0).normal(size=(2, 40, 5)).astype(np.float32)
    assert np.array_equal(calibrate(second, calibrate(first)), calibrate(np.concatenate([first, second])))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones((2, 3)), "int4", None), 'precision is "int4"; known: float32, int8, uint8, binary, ubinary'),
        ((np.ones((2, 3)), "int8", None), "need the ranges of the components"),
        ((np.ones((2, 3)), "int8", np.zeros((2, 4))), r"of shape \(2, 4\); vectors 3 wide need \[2, 3\]"),
        ((np.ones((2, 3)), "int8", np.array([[1, 1, 1], [0, 0, 0]])), "lowest first"),
        ((np.array([[np.nan]]), "int8", np.zeros((2, 1))), "finite"),
    ],
)
def test_what_cannot_be_quantised_is_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        quantise(*arguments)


TEXTS = [f"stone bridge number {n} over river {n * 7 % 31}" for n in range(150)]


@pytest.fixture(scope="module")
def calibrated(static_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated") / "model"
    save(load(static_folder, device="cpu"), folder)
    calibrate_folder(folder, StaticEncoder.open(folder), TEXTS)
    return folder


def test_without_stored_ranges_int8_is_refused_with_the_way_out(static_folder, tmp_path):
    model = load(static_folder, device="cpu")
    with pytest.raises(ContractError, match=r"no stored ranges for vectors 24 wide.*vecsmith calibrate MODEL TEXTS"):
        model.encode(TEXTS, precision="int8")
    with pytest.raises(ContractError, match="no stored ranges"):
        model.encode_document(TEXTS, precision="uint8")
    with pytest.raises(ContractError, match="no stored ranges"):
        encode_to(model, TEXTS, tmp_path / "v", precision="int8")
    assert not (tmp_path / "v" / "manifest.json").exists()
    plain = model.encode(TEXTS)
    assert np.array_equal(model.encode(TEXTS, precision="binary"), quantize_embeddings(plain, "binary"))


def test_a_calibrated_model_gives_the_same_codes_in_every_batch(static_folder, tmp_path):
    model = load(static_folder, device="cpu")
    model.save(tmp_path / "model", create_model_card=False)
    before = model.contract
    contract = model.calibrate(TEXTS)
    assert contract == Contract.read(tmp_path / "model")
    assert contract.fingerprint == before.fingerprint
    ranges = stored_quantiser(contract, "int8", 24).ranges
    assert np.array_equal(ranges, calibrate(model.encode(TEXTS)))
    whole = model.encode(TEXTS, precision="int8")
    assert np.array_equal(whole, quantize_embeddings(model.encode(TEXTS), "int8", ranges=ranges))
    assert np.array_equal(model.encode(TEXTS[7], precision="int8"), whole[7])
    assert np.array_equal(model.encode(TEXTS[5:6], None, None, 32, False, "sentence_embedding", "int8"), whole[5:6])
    again = load(tmp_path / "model", device="cpu")
    assert np.array_equal(again.encode_document(TEXTS[:3], precision="uint8").astype(int), whole[:3].astype(int) + 128)


def test_a_cut_model_needs_ranges_of_its_own_width(calibrated, tmp_path):
    narrow = load(calibrated, device="cpu", truncate_dim=8)
    with pytest.raises(ContractError, match=r"no stored ranges for vectors 8 wide.*It has ranges for width 24"):
        narrow.encode(TEXTS, precision="int8")
    found = calibrate_folder(
        calibrated, StaticEncoder.open(calibrated, truncate_dim=8), TEXTS, output=tmp_path / "both"
    )
    assert list(found.contract.view["quantiser"]["ranges"]) == ["24", "8"]
    assert "8" not in Contract.read(calibrated).view["quantiser"]["ranges"]
    assert load(tmp_path / "both", device="cpu", truncate_dim=8).encode(TEXTS, precision="int8").shape == (150, 8)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_shards_hold_codes_and_carry_their_quantiser(calibrated, tmp_path, precision):
    encoder = StaticEncoder.open(calibrated)
    shards = encode_to(encoder, TEXTS, tmp_path / "v", precision=precision, shard_rows=64)
    plain = encoder.encode(TEXTS)
    held = Shards.open(tmp_path / "v")
    assert np.array_equal(held.array(), held.quantiser.quantise(plain)[0])
    assert held.array().dtype == ("int8" if precision in ("int8", "binary") else "uint8")
    assert np.array_equal(held.vectors(), held.quantiser.dequantise(held.array()))
    assert (held.width, held.clipped, shards.rows) == (24, 0, 150)
    held.verify()
    assert Contract.read(tmp_path / "v").view["quantiser"]["precision"] == precision
    with pytest.raises(ContractError, match=f"was begun with precision {precision}, not float32"):
        encode_to(encoder, TEXTS, tmp_path / "v")


def test_what_lies_outside_the_ranges_is_counted_and_other_ranges_do_not_go_on(calibrated, tmp_path):
    odd = [*TEXTS[:20], "zebra", "quark"]
    shards = encode_to(StaticEncoder.open(calibrated), odd, tmp_path / "v", precision="int8")
    assert shards.clipped > 0
    calibrate_folder(calibrated, StaticEncoder.open(calibrated), TEXTS[:120] + odd, output=tmp_path / "other")
    with pytest.raises(ContractError, match="was begun with other ranges of its int8 codes"):
        encode_to(StaticEncoder.open(tmp_path / "other"), odd, tmp_path / "v", precision="int8")


def test_codes_and_numbers_are_compared_by_what_they_are():
    plain = Contract({"weights": "w"}, {"width": 3, "normalised": True, "dtype": "float32", "similarity": "cosine",
                                       "prompt": None, "quantiser": None})  # fmt: skip
    one, two = (np.stack([np.zeros(3), np.full(3, high)]).astype(np.float32) for high in (1, 2))
    knows_one, knows_two = with_ranges(plain, one, 500), with_ranges(plain, two, 500)
    codes_one, codes_two = (plain.seen(quantiser=Quantiser("int8", 3, ranges).to_json()) for ranges in (one, two))
    assert compare(plain, knows_one) == compare(knows_one, knows_two) == Same()
    assert compare(codes_one, codes_one) == Same()
    assert compare(knows_one, codes_one) == Convertible(("quantise to int8 by the stored ranges",))
    assert isinstance(compare(codes_one, codes_two), Different)
    assert isinstance(compare(codes_one, plain), Different)
    assert isinstance(compare(codes_one, plain.seen(quantiser=Quantiser("binary", 3).to_json())), Different)


def test_calibration_is_refused_where_it_would_mislead(static_folder, calibrated, tmp_path):
    encoder = StaticEncoder.open(calibrated)
    with pytest.raises(NotEnoughData, match="3 inputs are too few"):
        calibrate_folder(calibrated, encoder, TEXTS[:3])
    with pytest.raises(NotEnoughData, match="0 inputs are too few"):
        calibrate_folder(calibrated, encoder, [])
    with pytest.raises(ContractError, match="has no contract to keep ranges in"):
        calibrate_folder(static_folder, encoder, TEXTS)
    with pytest.raises(ContractError, match=r"belongs to an installed package.*--output FOLDER"):
        load("default", device="cpu").calibrate(TEXTS)
    with pytest.raises(UsageError, match=r"of shape \(200, 3\); this model's are 24 wide"):
        calibrate_folder(calibrated, encoder, np.zeros((200, 3)))


def test_broken_ranges_in_a_contract_are_an_error(calibrated, tmp_path):
    contract = Contract.read(calibrated)
    broken = json.loads(json.dumps(contract.view["quantiser"]))
    broken["ranges"]["24"]["float32_le_base64"] = "AAAA"
    with pytest.raises(ContractError, match=r"cannot be read.*calibrate it again"):
        stored_quantiser(contract.seen(quantiser=broken), "int8", 24)
