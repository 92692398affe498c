"""Rank correlations against scipy, and intervals of their differences against slow resampling."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.correlation import (
    average_ranks,
    pearson,
    spearman,
    spearman_difference,
    spearman_interval,
)
from vecsmith.evaluation.statistics import resample_counts


@given(values=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=40))
def test_spearman_equals_scipy_with_ties(values):
    a, b = np.array(values, dtype=float).T
    if len(set(a)) < 2 or len(set(b)) < 2:
        with pytest.raises(NotEnoughData, match="one constant"):
            spearman(a, b)
        return
    assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)
    assert pearson(a, b) == pytest.approx(scipy.stats.pearsonr(a, b).statistic, abs=1e-12)
    assert average_ranks(a).tolist() == scipy.stats.rankdata(a).tolist()


def three_models(n=150, seed=0):
    """Gold in steps as people score, two related predictions with ties."""
    draw = np.random.default_rng(seed)
    gold = draw.integers(0, 11, n) / 2
    a = np.round(gold + draw.normal(0, 1.5, n), 1)
    b = np.round(0.5 * a + 0.5 * gold + draw.normal(0, 2.0, n), 1)
    return a, b, gold


def test_the_intervals_are_those_of_ranking_each_resample_anew():
    a, b, gold = three_models(40)
    gold = np.round(gold / 2)  # few levels: long ties
    alone = spearman_interval(a, gold, resamples=200, seed=5)
    interval, _ = spearman_difference(a, b, gold, resamples=200, permutations=10, seed=5)
    slow = []
    for counts in np.concatenate(list(resample_counts(40, resamples=200, seed=5))):
        rows = np.repeat(np.arange(40), counts)
        slow.append([scipy.stats.spearmanr(model[rows], gold[rows]).statistic for model in (a, b)])
    of_a, of_b = np.array(slow).T
    assert interval.mean == pytest.approx(scipy.stats.spearmanr(a, gold)[0] - scipy.stats.spearmanr(b, gold)[0])
    assert [interval.low, interval.high] == pytest.approx(np.quantile(of_a - of_b, [0.025, 0.975]), abs=1e-9)
    assert [alone.low, alone.high] == pytest.approx(np.quantile(of_a, [0.025, 0.975]), abs=1e-9)


def test_the_permutation_of_ranks_equals_slow_swapping():
    a, b, gold = three_models(60, seed=3)
    _, p = spearman_difference(a, b, gold, resamples=10, permutations=5000)
    ra, rb, rg = map(scipy.stats.rankdata, (a, b, gold))
    draw = np.random.default_rng(4)

    def difference(swap):
        one, two = np.where(swap, rb, ra), np.where(swap, ra, rb)
        return abs(np.corrcoef(one, rg)[0, 1] - np.corrcoef(two, rg)[0, 1])

    observed = difference(np.zeros(60, dtype=bool))
    slow = np.mean([difference(draw.random(60) < 0.5) >= observed for _ in range(5000)])
    assert p == pytest.approx(slow, abs=0.025)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_permutation_of_few_ranks_equals_all_swaps_enumerated(seed):
    a, b, gold = np.random.default_rng(seed).normal(size=(3, 7))
    _, p = spearman_difference(a, b, gold, resamples=1, permutations=40_000)
    ra, rb, rg = map(scipy.stats.rankdata, (a, b, gold))

    def difference(swap):
        one, two = np.where(swap, rb, ra), np.where(swap, ra, rb)
        # the mixed ranks may have another mean than ranks have; np.corrcoef takes it out
        return abs(np.corrcoef(one, rg)[0, 1] - np.corrcoef(two, rg)[0, 1])

    swaps = [np.array(swap, dtype=bool) for swap in itertools.product([0, 1], repeat=7)]
    exact = np.mean([difference(swap) >= difference(swaps[0]) - 1e-9 for swap in swaps])
    assert p == pytest.approx(exact, abs=0.012)


def test_the_permutation_of_ranks_errs_as_often_as_it_says():
    draw = np.random.default_rng(7)
    wrong = 0
    for trial in range(500):
        gold = draw.integers(0, 6, 80).astype(float)
        a, b = gold + draw.normal(0, 2, (2, 80))
        wrong += spearman_difference(a, b, gold, resamples=1, permutations=300, seed=trial)[1] <= 0.05
    assert 0.03 <= wrong / 500 <= 0.07


def test_equal_predictions_differ_by_nothing():
    a, _, gold = three_models()
    interval, p = spearman_difference(a, a, gold, resamples=50, permutations=100)
    assert (interval.mean, interval.low, interval.high, p) == (0, 0, 0, 1)


def test_one_models_interval_agrees_with_fishers_approximation():
    draw = np.random.default_rng(1)
    gold = draw.normal(size=1400)
    prediction = gold + draw.normal(0, 0.7, 1400)
    interval = spearman_interval(prediction, gold)
    z, spread = np.arctanh(interval.mean), 1.03 / np.sqrt(1400 - 3)
    assert interval.low == pytest.approx(np.tanh(z - 1.96 * spread), abs=0.006)
    assert interval.high == pytest.approx(np.tanh(z + 1.96 * spread), abs=0.006)


def test_a_value_that_is_not_finite_is_named():
    with pytest.raises(DataError, match="pair 1 has a value"):
        spearman([1, np.nan, 2], [1, 2, 3])
    with pytest.raises(DataError, match="no correlation"):
        pearson([1, 2], [1, 2, 3])
