"""Where documents came from, against a plain list."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.origins import Origins

places = st.tuples(st.sampled_from(["a.csv", "b.csv", None]), st.none() | st.integers(1, 9))
blocks = st.lists(st.lists(st.tuples(places, st.booleans()), max_size=6), max_size=5)


@given(blocks)
def test_every_kept_document_has_its_file_and_row(blocks):
    origins, expected = Origins(), []
    for block in blocks:
        for place, _ in block:
            origins.wait(*place)
        kept = [number for number, (_, is_kept) in enumerate(block) if is_kept]
        origins.keep(np.array(kept, dtype=np.int64))
        expected += [block[number][0] for number in kept]
    assert [origins.at(document) for document in range(len(expected))] == expected
