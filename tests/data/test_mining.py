"""The choice of negatives on arrays, beside a slow reference in Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.mining import MiningOptions, select_negatives, spread_margin
from vecsmith.errors import DataError, UsageError


def slowly(rows, scores, known, positive, largest, options):
    """One query, one candidate at a time."""
    ranked = [(row, score) for row, score, drop in zip(rows, scores, known, strict=True) if row >= 0 and not drop]
    low, high = options.ranks
    found = []
    for row, score in ranked[low:high]:
        if options.absolute_margin is not None and score >= positive - options.absolute_margin:
            continue
        if options.relative_margin is not None and score >= positive - options.relative_margin * abs(positive):
            continue
        if options.max_score is not None and score > options.max_score:
            continue
        if options.min_score is not None and score < options.min_score:
            continue
        found.append(row)
    rank = options.consistent_rank
    kept = rank is None or len(ranked) < rank or largest >= ranked[rank - 1][1]
    return found[: options.negatives], kept


@given(data=st.data())
def test_agrees_with_a_loop_over_candidates(data):
    seed = data.draw(st.integers(0, 10_000))
    random = np.random.default_rng(seed)
    width = data.draw(st.integers(1, 12))
    # Quarters: exact in float32, with ties; margins of a quarter and a half meet them exactly.
    scores = -np.sort(-random.integers(-8, 9, (6, width)) / 4, axis=1).astype(np.float32)
    rows = np.stack([random.permutation(40)[:width] for _ in range(6)])
    gone = random.integers(0, width + 1)
    rows[:, width - gone :], scores[:, width - gone :] = -1, -np.inf
    known = random.random((6, width)) < 0.2
    smallest = (random.integers(-8, 9, 6) / 4).astype(np.float32)
    largest = smallest + np.float32(0.25)
    options = MiningOptions(
        negatives=2,
        ranks=data.draw(st.sampled_from([(0, 2), (1, 5), (0, 30)])),
        relative_margin=data.draw(st.sampled_from([None, 0.0, 0.5])),
        absolute_margin=data.draw(st.sampled_from([None, 0.25])),
        max_score=data.draw(st.sampled_from([None, 0.5])),
        min_score=data.draw(st.sampled_from([None, -1.0])),
        consistent_rank=data.draw(st.sampled_from([None, 1, 3])),
    )
    found = select_negatives(
        rows, scores, is_known=known, smallest_positive=smallest, largest_positive=largest, options=options
    )
    for at in range(6):
        expected, kept = slowly(rows[at], scores[at], known[at], smallest[at], largest[at], options)
        assert [row for row in found.rows[at] if row >= 0] == expected
        assert found.kept[at] == kept


def test_a_relative_margin_of_a_negative_score_lowers_the_threshold():
    found = select_negatives(
        np.array([[0, 1]]),
        np.array([[-1.02, -1.2]], np.float32),
        is_known=np.zeros((1, 2), bool),
        smallest_positive=np.array([-1.0], np.float32),
        largest_positive=np.array([-1.0], np.float32),
        options=MiningOptions(negatives=2, ranks=(0, 2), relative_margin=0.05),
    )
    assert found.rows.tolist() == [[1, -1]]


def test_an_adaptive_margin_is_unmoved_by_shift_and_scale():
    scores, positives = np.array([[3.0, 1.0, 0.0, -np.inf]]), np.array([2.0])
    here = spread_margin(0.2)(scores, positives)
    assert np.allclose(spread_margin(0.2)(5 * scores - 7, 5 * positives - 7), 5 * here - 7)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"negatives": 0}, "negatives is 0"),
        ({"ranks": (5, 5)}, "ranks 5:5"),
        ({"ranks": (0, 3)}, "hold no 7"),
        ({"relative_margin": -0.1}, "relative_margin is -0.1"),
        ({"max_score": float("nan")}, "max_score is nan"),
        ({"positive": "best"}, "smallest"),
        ({"consistent_rank": 0}, "count from 1"),
    ],
)
def test_options_that_make_no_sense_are_named(options, words):
    with pytest.raises(UsageError, match=words):
        MiningOptions(**options)


def test_a_score_that_is_nan_names_its_query():
    with pytest.raises(DataError, match="query 1: the score of a candidate is NaN"):
        select_negatives(
            np.zeros((2, 1), int),
            np.array([[0.0], [np.nan]], np.float32),
            is_known=np.zeros((2, 1), bool),
            smallest_positive=np.ones(2, np.float32),
            largest_positive=np.ones(2, np.float32),
            options=MiningOptions(negatives=1, ranks=(0, 1)),
        )
