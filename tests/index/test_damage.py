"""Every stored file, cut, grown, flipped, swapped or missing: named, never another answer."""

import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from vecsmith.errors import Damaged, Locked, SchemaError, VecsmithError
from vecsmith.index.catalog import Catalog, _put
from vecsmith.index.index import Index
from vecsmith.index.segment import Segment


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An index with two segments and tombstones."""
    folder = tmp_path_factory.mktemp("damage") / "index"
    index = Index.create(folder, width=4, schema={"year": int, "kind": str}, durability="none")
    rng = np.random.default_rng(0)
    for first in (0, 20):
        rows = [{"id": f"r{n}", "text": f"word{n}", "year": n, "kind": "ab"[n % 2]} for n in range(first, first + 20)]
        index.add(rows, rng.standard_normal((20, 4)))
    index.delete(["r3", "r25"])
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    Segment._open.clear()
    shutil.copytree(whole, tmp_path / "index")
    return tmp_path / "index"


def files(folder: Path) -> list[Path]:
    """The files of the segment that has tombstones, and the tombstones."""
    live = Catalog(folder).pin().segments[0]
    assert live.tombstones is not None
    names = [folder / "segments" / live.name / name for name in live.body["files"]]
    return [*names, folder / "tombstones" / live.tombstones["name"]]


CHANGES = {
    "emptied": lambda data: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "a byte short": lambda data: data[:-1],
    "a byte long": lambda data: data + b"\0",
    "missing": lambda data: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_of_another_size_is_named_at_open(folder, change):
    for path in files(folder):
        data = path.read_bytes()
        changed = CHANGES[change](data)
        if changed == data:
            continue
        path.unlink() if changed is None else path.write_bytes(changed)
        Segment._open.clear()
        with pytest.raises(Damaged, match=path.name):
            Index.open(folder)
        path.write_bytes(data)
    assert Index.open(folder).verify() == []


def test_a_flipped_bit_in_any_file_is_named_by_verify(folder):
    draw = random.Random(0)
    for path in files(folder):
        data = path.read_bytes()
        if not data:
            continue
        for _ in range(3):
            flipped = bytearray(data)
            flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(flipped)
            Segment._open.clear()
            try:
                problems = [str(problem) for problem in Index.open(folder).verify()]
            except Damaged as error:
                problems = [str(error)]
            assert any(path.name in problem for problem in problems)
        path.write_bytes(data)


def test_verify_covers_files_that_only_an_older_generation_needs(folder):
    index = Index.open(folder)
    older = files(folder)
    index.compact()
    assert not set(older) & set(files_of_newest(folder))
    assert index.verify() == []
    for path in (older[0], older[-1]):
        path.write_bytes(path.read_bytes()[:-1])
    assert {problem.path for problem in index.verify()} == {older[0], older[-1]}


def files_of_newest(folder: Path) -> list[Path]:
    return [
        folder / "segments" / live.name / name for live in Catalog(folder).pin().segments for name in live.body["files"]
    ]


def test_a_deep_check_names_attributes_that_contradict_each_other(folder, monkeypatch):
    index = Index.open(folder)
    assert index.verify(deep=True) == []
    monkeypatch.setattr("vecsmith.index.verify.contradictions", lambda attributes: ['field "kind": codes lie outside'])
    assert [str(problem) for problem in index.verify(deep=True)] == [
        f'{segment.folder}: field "kind": codes lie outside' for segment in index._snapshot.segments
    ]


def test_a_file_of_another_segment_is_named(folder):
    first, second = (folder / "segments" / live.name for live in Catalog(folder).pin().segments)
    (first / "rows.f32").write_bytes((second / "rows.f32").read_bytes())
    assert [problem.path for problem in Index.open(folder).verify()] == [first / "rows.f32"]


def test_flipped_bits_in_the_catalog_are_damage_or_change_nothing(folder):
    path = folder / "catalog.sqlite"
    data, draw = path.read_bytes(), random.Random(1)
    expected = Index.open(folder).search("word7 word21", 40, mode="lexical").to_json()["hits"]
    damaged = 0
    for _ in range(150):
        flipped = bytearray(data)
        flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            found = Index.open(folder).search("word7 word21", 40, mode="lexical").to_json()["hits"]
        except (Damaged, SchemaError):
            damaged += 1
            continue
        assert found == expected
    assert damaged > 0


def test_a_row_changed_behind_our_back_is_named(folder):
    connection = sqlite3.connect(folder / "catalog.sqlite")
    connection.execute("update segments set body = replace(body, '\"rows\":20', '\"rows\":19')")
    connection.commit()
    connection.close()
    with pytest.raises(Damaged, match=r"row '\w+' of segments was changed"):
        Index.open(folder)
    assert "was changed" in str(Catalog(folder).check())


def test_a_segment_that_is_not_the_generations_is_named(folder):
    catalog = Catalog(folder)
    first = catalog.pin().segments[0]
    with catalog._connect() as connection:
        _put(connection, "segments", first.name, {**first.body, "rows": 19})  # with a hash that fits the row
    with pytest.raises(Damaged, match=f"segment {first.name} is not the one of generation 3"):
        Index.open(folder)


def test_a_commit_on_a_generation_that_is_no_longer_the_newest_is_refused(folder):
    catalog = Catalog(folder)
    pin = catalog.pin()
    assert catalog.commit(pin.generation, list(pin.segments)) == pin.generation + 1
    with pytest.raises(Locked, match=r"went on from generation 3 to 4 meanwhile"):
        catalog.commit(pin.generation, [])
    assert len(catalog.pin().segments) == 2


def test_a_missing_catalog_is_told_apart_from_no_index(folder):
    (folder / "catalog.sqlite").unlink()
    with pytest.raises(Damaged, match="missing beside segments/"):
        Index.open(folder)


def test_a_newer_format_is_refused(folder, monkeypatch):
    monkeypatch.setattr("vecsmith.index.catalog.FORMAT", 0)
    with pytest.raises(SchemaError, match="has format 1, known here is 0; upgrade"):
        Index.open(folder)


def test_a_tokenizer_of_other_rules_is_refused(folder, monkeypatch):
    monkeypatch.setattr("vecsmith.index.index.TOKENIZER", "words-9")
    with pytest.raises(VecsmithError, match=r"split into words by words-1, this vecsmith has words-9"):
        Index.open(folder)


def test_a_vector_that_is_not_the_texts_is_found_by_a_deep_check(tmp_path, tiny_model, documents):
    index = Index.create(tmp_path / "index", model=tiny_model(), schema=None, durability="none")
    index.add(documents(20))
    assert index.verify(deep=True) == []
    index.upsert([{"id": "d1", "text": "red"}], np.eye(8)[:1])
    (problem,) = index.verify(deep=True)
    assert '1 of 1 rows are not what the model gives for the text (worst: "d1"' in str(problem)


def test_a_contract_that_was_edited_is_named(tmp_path, tiny_model, documents):
    index = Index.create(tmp_path / "index", model=tiny_model(), schema={}, durability="none")
    path = index.path / "embedding.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    assert [str(problem) for problem in index.verify()] == [f"{path}: is not the contract that the catalog holds"]
    path.unlink()
    assert "cannot be read" in str(index.verify()[0])
