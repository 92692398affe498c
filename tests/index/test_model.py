"""The index against a dict, through random adds, upserts, deletes, compactions, collections and reopenings."""

import random
from pathlib import Path

import numpy as np
import pytest

from vecsmith.errors import SchemaError
from vecsmith.index.index import Index
from vecsmith.index.where import field

KINDS = ["a", "b", None]


def draw_document(draw: random.Random, name: str) -> dict:
    return {
        "id": name,
        "text": " ".join(draw.choices(["red", "green", "blue", "saw"], k=draw.randint(1, 4))),
        "kind": draw.choice(KINDS),
        "year": draw.choice([None, *range(2015, 2023)]),
        "vector": [draw.choice([-1.0, 0.5, 1.0]) for _ in range(3)],
    }


def split(rows: list[dict]) -> tuple[list[dict], np.ndarray]:
    return [{k: v for k, v in row.items() if k != "vector"} for row in rows], np.array([row["vector"] for row in rows])


def dense_by_sorting(held: dict[str, dict], query: np.ndarray, keep) -> list[str]:
    unit = query / np.linalg.norm(query)
    scored = []
    for name, row in held.items():
        if keep(row):
            vector = np.array(row["vector"], dtype=np.float32)
            vector = (vector.astype(np.float64) / np.linalg.norm(vector.astype(np.float64))).astype(np.float32)
            score = np.float32((vector.astype(np.float64) * unit.astype(np.float32).astype(np.float64)).sum())
            scored.append((-score, name))
    return [name for _, name in sorted(scored)]


def check(index: Index, held: dict[str, dict], draw: random.Random) -> None:
    query = np.array([draw.uniform(-1, 1) for _ in range(3)])
    year, kind, k = draw.randint(2014, 2023), draw.choice(["a", "b"]), draw.choice([1, 3, 10, 1000])
    filters = [
        (None, lambda row: True),
        (f"year >= {year}", lambda row: row["year"] is not None and row["year"] >= year),
        (f"kind = '{kind}' or year is null", lambda row: row["kind"] == kind or row["year"] is None),
        (~(field("kind") == kind), lambda row: row["kind"] is not None and row["kind"] != kind),
    ]
    where, keep = draw.choice(filters)
    expected = dense_by_sorting(held, query, keep)
    hits = index.search(query, k, where=where)
    assert hits.ids == expected[:k]
    assert (hits.passing, hits.short) == (len(expected), len(expected) < k)
    assert hits.texts == [held[name]["text"] for name in hits.ids]
    words = index.search("saw", 1000, mode="lexical", where=where)
    assert set(words.ids) == {name for name, row in held.items() if keep(row) and "saw" in row["text"].split()}
    assert len(index) == len(held)


def walk(folder: Path, steps: int, seed: int) -> None:
    """Random operations; the seed is in the test's name, so that a failure can be run again."""
    draw, held = random.Random(seed), {}
    index = Index.create(folder, width=3, schema={"kind": str, "year": int}, durability="none")
    for step in range(steps):
        turn = draw.random()
        names = [f"d{draw.randrange(60)}" for _ in range(draw.randint(1, 8))]
        rows = [draw_document(draw, name) for name in dict.fromkeys(names)]
        documents, vectors = split(rows)
        if turn < 0.3:
            known = [row["id"] for row in rows if row["id"] in held]
            if known:
                with pytest.raises(SchemaError, match="already"):
                    index.add(documents, vectors)
            else:
                index.add(documents, vectors)
                held |= {row["id"]: row for row in rows}
        elif turn < 0.6:
            index.upsert(documents, vectors)
            held |= {row["id"]: row for row in rows}
        elif turn < 0.75:
            deleted, missing = index.delete(names)
            gone = {name for name in names if name in held}
            assert (deleted, missing) == (len(gone), len(set(names)) - len(gone))
            held = {name: row for name, row in held.items() if name not in gone}
        elif turn < 0.85:
            year = draw.randint(2014, 2023)
            gone = {name for name, row in held.items() if row["year"] is not None and row["year"] < year}
            assert index.delete(where=field("year") < year).deleted == len(gone)
            held = {name: row for name, row in held.items() if name not in gone}
        elif turn < 0.93:
            index.compact()
            index.gc(grace_seconds=0)
        else:
            index = Index.open(folder, durability="none")
        if step % 2:
            check(index, held, draw)
    assert index.verify(deep=True) == []


@pytest.mark.parametrize("seed", range(2))
def test_the_index_is_a_dict_that_can_be_searched(tmp_path, seed):
    walk(tmp_path / "index", steps=60, seed=seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10, 20))
def test_the_index_is_a_dict_through_thousands_of_steps(tmp_path, seed):
    walk(tmp_path / "index", steps=2000, seed=seed)
