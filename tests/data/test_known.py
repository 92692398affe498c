"""The table of known ids, against a dict."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data import known
from vecsmith.data.known import KnownIds, as_pairs
from vecsmith.errors import LimitExceeded


def rows_by_dict(batches):
    """(row, is new) of each id."""
    seen, result = {}, []
    for batch in batches:
        found = []
        for pair in batch:
            found.append((seen.get(pair, len(seen)), pair not in seen))
            seen.setdefault(pair, len(seen))
        result.append(found)
    return result


# Few first halves: ids that agree in 64 bits are the rule here, and all start from few slots.
pairs = st.tuples(st.sampled_from([0, 1, 2, 1024, 2**63, 2**64 - 1]), st.integers(0, 5))
batches = st.lists(st.lists(pairs, max_size=20, unique=True), max_size=8)


@pytest.mark.parametrize("in_file", [False, True])
@settings(max_examples=60, deadline=None)
@given(batches=batches)
def test_rows_agree_with_a_dict_even_where_64_bits_collide(tmp_path_factory, in_file, batches):
    table = KnownIds(tmp_path_factory.mktemp("known") / "halves" if in_file else None)
    for batch, expected in zip(batches, rows_by_dict(batches), strict=True):
        rows, is_new = table.rows(np.array(batch, dtype=np.uint64).reshape(-1, 2))
        assert list(zip(rows.tolist(), is_new.tolist(), strict=True)) == expected
    table.close()


def test_many_ids_keep_their_rows_while_the_table_grows():
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 2**63, size=(50_000, 2)).astype(np.uint64)
    table = KnownIds()
    for start in range(0, len(ids), 777):
        rows, is_new = table.rows(ids[start : start + 777])
        assert is_new.all()
        assert rows.tolist() == list(range(start, min(start + 777, len(ids))))
    order = rng.permutation(len(ids))
    rows, is_new = table.rows(ids[order])
    assert not is_new.any()
    assert (rows == order).all()


def test_the_file_is_removed_when_the_table_closes(tmp_path):
    table = KnownIds(tmp_path / "halves")
    table.rows(as_pairs(bytes(range(16))))
    assert (tmp_path / "halves").stat().st_size == 8
    table.close()
    table.close()
    assert not (tmp_path / "halves").exists()


def test_more_rows_than_numbers_is_an_error(monkeypatch):
    monkeypatch.setattr(known, "MOST_ROWS", 3)
    table = KnownIds()
    with pytest.raises(LimitExceeded, match="4 distinct inputs; one dataset holds at most 3"):
        table.rows(np.arange(8, dtype=np.uint64).reshape(4, 2))


def test_digests_are_read_big_endian():
    assert as_pairs(bytes([0] * 7 + [1] + [0] * 7 + [2])).tolist() == [[1, 2]]
