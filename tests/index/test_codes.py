"""An index of int8 codes: a quarter of the size, one set of ranges for its whole life."""

import io

import numpy as np
import pytest

from vecsmith.contract.contract import Contract
from vecsmith.errors import ContractError, SchemaError, SpaceMismatch, UsageError
from vecsmith.index.index import Index
from vecsmith.models.calibration import calibrate_folder
from vecsmith.models.encoder import open_encoder
from vecsmith.models.quantise import quantiser_of, stored_quantiser
from vecsmith.models.shards import encode_to
from vecsmith.progress import JsonEvents

WORDS = ["stone", "bridge", "river", "router", "reset", "button", "invoice", "page", "lamp", "dark", "cable", "quick"]
TEXTS = [" ".join(np.random.default_rng(n).choice(WORDS, size=6)) for n in range(400)]
DOCUMENTS = [{"id": f"d{n}", "text": text, "even": n % 2 == 0} for n, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The default model with ranges measured on the texts."""
    folder = tmp_path_factory.mktemp("codes") / "model"
    encoder = open_encoder("default")
    calibrate_folder(encoder.folder, encoder, TEXTS, output=folder)
    return open_encoder(folder)


@pytest.fixture(scope="module")
def other(model, tmp_path_factory):
    """The same weights with other ranges."""
    folder = tmp_path_factory.mktemp("codes") / "other"
    calibrate_folder(model.folder, model, TEXTS[:200], output=folder)
    return open_encoder(folder)


def made(path, model, **options):
    index = Index.create(path, model=model, precision="int8", durability="none", **options)
    index.add(DOCUMENTS[:250])
    index.add(DOCUMENTS[250:])
    return index


def quantised(model, texts):
    return stored_quantiser(model.contract, "int8", model.dimension).quantise(model.encode_document(texts))[0]


def test_scores_are_products_with_the_codes_turned_back_in_every_plan(tmp_path, model):
    index = made(tmp_path / "i", model)
    quantiser = quantiser_of(index.contract)
    rows = quantiser.dequantise(quantiser.quantise(model.encode_document(TEXTS))[0]).astype(np.float64)
    for text in ("stone river", "quick invoice page", TEXTS[7]):
        query = model.encode_query([text])[0].astype(np.float64)
        expected = rows @ query
        for where, allowed in [(None, np.ones(400, bool)), ("even = true", np.arange(400) % 2 == 0)]:
            hits = index.search(text, k=10, mode="dense", where=where)
            best = np.sort(expected[allowed])[::-1][:10]
            assert np.allclose([hit.score for hit in hits], best, atol=2e-6)
            assert all(abs(expected[int(hit.id[1:])] - hit.score) < 2e-6 for hit in hits)


def test_answers_do_not_depend_on_segments_and_outlive_compaction_and_reopening(tmp_path, model):
    index = made(tmp_path / "i", model)
    before = [(hit.id, hit.score) for hit in index.search("stone bridge", k=25, mode="dense")]
    index.delete(["d399"])
    assert index.compact()
    assert index.verify(deep=True) == []
    again = Index.open(tmp_path / "i")
    after = [(hit.id, hit.score) for hit in again.search("stone bridge", k=25, mode="dense")]
    assert after == [entry for entry in before if entry[0] != "d399"] or len(before) == len(after)
    assert again.stats()["precision"] == "int8"
    assert Contract.read(tmp_path / "i").view["quantiser"] == index.contract.view["quantiser"]


def test_vectors_take_a_quarter_of_the_bytes(tmp_path, model):
    index = made(tmp_path / "i", model)
    rows = [file.stat().st_size for file in (tmp_path / "i").rglob("rows.i8")]
    vectors = index.stats()["vectors"]
    assert sum(rows) == vectors * model.dimension + 64 * len(rows)
    assert not list((tmp_path / "i").rglob("rows.f32"))


def test_the_index_keeps_its_ranges_whatever_the_model_gets(tmp_path, model, other):
    index = made(tmp_path / "i", model)
    opened = Index.open(tmp_path / "i", other)
    opened.add([{"id": "new", "text": TEXTS[0], "even": True}])
    assert quantiser_of(opened.contract).to_json() == quantiser_of(index.contract).to_json()
    scores = {hit.id: hit.score for hit in opened.search(TEXTS[0], k=5, mode="dense")}
    assert scores["new"] == scores["d0"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_shards_of_the_same_model_are_added_as_they_are(tmp_path, model, precision):
    shards = encode_to(model, TEXTS, tmp_path / "v", prompt="document", precision=precision)
    index = Index.create(tmp_path / "i", model=model, precision="int8", durability="none")
    assert index.add(DOCUMENTS, vectors=shards) == 400
    whole = made(tmp_path / "j", model)
    kept = np.concatenate([np.array(segment.part.vectors) for segment in index._snapshot.segments])
    assert {row.tobytes() for row in kept} == {row.tobytes() for row in quantised(model, TEXTS)}
    for text in ("stone river", "dark page"):
        found, expected = (each.search(text, k=10, mode="dense") for each in (index, whole))
        assert [(hit.id, hit.score) for hit in found] == [(hit.id, hit.score) for hit in expected]


def test_codes_are_never_mixed(tmp_path, model, other):
    theirs = encode_to(other, TEXTS, tmp_path / "theirs", precision="int8")
    ours = encode_to(model, TEXTS, tmp_path / "ours", precision="int8")
    bits = encode_to(model, TEXTS, tmp_path / "bits", precision="binary")
    index = Index.create(tmp_path / "i", model=model, precision="int8", durability="none")
    plain = Index.create(tmp_path / "f", model=model, durability="none")
    for target, shards in [(index, theirs), (index, bits), (plain, ours), (plain, bits)]:
        with pytest.raises(SpaceMismatch, match="quantiser differs"):
            target.add(DOCUMENTS, vectors=shards)
    for target in (index, plain):
        with pytest.raises(SchemaError, match="an array says nothing of the ranges they stand for"):
            target.add(DOCUMENTS, vectors=ours.array())
        assert len(target) == 0
    with pytest.raises(ContractError, match="was made without a model"):
        Index.create(tmp_path / "n", width=model.dimension).add(DOCUMENTS, vectors=ours)


def test_shards_of_another_model_or_prompt_are_refused(tmp_path, model):
    queries = encode_to(model, TEXTS, tmp_path / "q", prompt="query")
    index = Index.create(tmp_path / "i", model=model, durability="none")
    assert index.add(DOCUMENTS, vectors=queries) == 400  # this model has no prompts
    narrow = encode_to(open_encoder(model.folder, truncate_dim=32), TEXTS, tmp_path / "n")
    with pytest.raises(SpaceMismatch, match="width"):
        index.upsert(DOCUMENTS, vectors=narrow)


def test_what_cannot_be_stored_as_codes_is_refused(tmp_path, model):
    with pytest.raises(ContractError, match=r"no stored ranges.*vecsmith calibrate"):
        Index.create(tmp_path / "i", model="default", precision="int8")
    with pytest.raises(UsageError, match="int8 needs a model"):
        Index.create(tmp_path / "i", width=8, precision="int8")
    with pytest.raises(UsageError, match="an index stores float32 or int8"):
        Index.create(tmp_path / "i", model=model, precision="binary")
    assert not (tmp_path / "i").exists()


def test_what_lies_outside_the_ranges_is_said(tmp_path, model, caplog):
    index = Index.create(tmp_path / "i", model=model, precision="int8", durability="none")
    said = io.StringIO()
    index.add([{"id": "x", "text": "quantum chromodynamics lattice"}], progress=JsonEvents(said))
    assert "components lay outside the index's ranges and were cut to them" in said.getvalue()
    index.add([{"id": "y", "text": "hadron jet"}])
    assert "components lay outside the index's ranges" in caplog.text
    assert index.search("quantum chromodynamics", k=1, mode="dense")[0].id == "x"
