"""Intervals and p-values: against scipy and enumeration, and as often wrong as they promise."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.statistics import (
    benjamini_hochberg,
    bootstrap_mean,
    holm,
    paired_bootstrap,
    permutation_p,
    resample_counts,
)


def test_the_permutation_errs_as_often_as_it_says_on_500_nulls():
    draw = np.random.default_rng(11)
    p = []
    for trial in range(500):
        hardness = draw.random(120)  # both models depend on the same queries, as real ones do
        a, b = (np.clip(hardness + draw.normal(0, 0.2, 120), 0, 1) for _ in range(2))
        p.append(permutation_p(a, b, resamples=400, seed=trial))
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.01


def test_the_permutation_agrees_with_all_sign_flips_enumerated():
    differences = np.array([0.3, -0.1, 0.25, 0.05, 0.4, -0.02, 0.11, 0.2])
    flips = np.array(list(itertools.product([1, -1], repeat=8)))
    exact = np.mean(np.abs(flips @ differences) >= abs(differences.sum()) - 1e-12)
    assert permutation_p(differences, np.zeros(8), resamples=40_000, seed=1) == pytest.approx(exact, abs=0.006)


def test_equal_models_have_p_one_and_a_zero_interval():
    values = np.random.default_rng(0).random(300)
    assert permutation_p(values, values, resamples=500) == 1.0
    interval = paired_bootstrap(values, values, resamples=500)
    assert (interval.mean, interval.low, interval.high) == (0, 0, 0)
    assert not interval.excludes_zero


def test_a_clear_difference_has_the_smallest_p_and_an_interval_off_zero():
    draw = np.random.default_rng(2)
    b = draw.random(500)
    a = b + 0.1 + draw.normal(0, 0.05, 500)
    assert permutation_p(a, b, resamples=999) == 1 / 1000
    interval = paired_bootstrap(a, b)
    assert interval.excludes_zero
    assert interval.low == pytest.approx(0.1 - 1.96 * 0.05 / 500**0.5, abs=0.003)


@pytest.mark.parametrize(("count", "method"), [(30, "BCa"), (400, "percentile")])
def test_intervals_agree_with_scipy(count, method):
    values = np.random.default_rng(5).exponential(size=count)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method=method, rng=1).confidence_interval
    ours = bootstrap_mean(values, resamples=20_000, seed=2)
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_few_skewed_values_are_corrected_for_bias_as_scipy_does():
    values = np.random.default_rng(3).exponential(size=12) ** 3  # continuous, or a quantile jumps between steps
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=100_000, method="BCa", rng=1).confidence_interval
    ours = bootstrap_mean(values, resamples=100_000, seed=2)
    assert ours.low == pytest.approx(theirs.low, abs=0.01 * (theirs.high - theirs.low))
    assert ours.high == pytest.approx(theirs.high, abs=0.01 * (theirs.high - theirs.low))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(9)
    inside = 0
    for trial in range(1000):
        interval = bootstrap_mean(draw.normal(0.2, 1, 150), resamples=600, seed=trial)
        inside += interval.low <= 0.2 <= interval.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_the_same_seed_gives_the_same_interval_and_another_gives_another():
    a, b = np.random.default_rng(1).random((2, 200))
    assert paired_bootstrap(a, b, resamples=500, seed=4) == paired_bootstrap(a, b, resamples=500, seed=4)
    assert paired_bootstrap(a, b, resamples=500, seed=4) != paired_bootstrap(a, b, resamples=500, seed=5)


def test_ten_thousand_resamples_of_1500_queries_take_little_time_and_memory():
    a, b = np.random.default_rng(1).random((2, 1500))
    start = time.process_time()
    paired_bootstrap(a, b)
    assert time.process_time() - start < 3  # well under 1 s on an idle core
    tracemalloc.start()
    paired_bootstrap(a, b, resamples=4000)
    permutation_p(a, b, resamples=4000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_resample_counts_draw_n_of_n_each_time():
    blocks = list(resample_counts(7, resamples=50, seed=0))
    counts = np.concatenate(blocks)
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()


@pytest.mark.parametrize(("ours", "theirs"), [(holm, None), (benjamini_hochberg, "bh")])
def test_corrections_agree_with_slow_references(ours, theirs):
    p = [0.01, 0.2, 0.03, 0.03, 0.9, 0.0004]
    if theirs:
        expected = scipy.stats.false_discovery_control(p, method=theirs)
    else:
        ranked = sorted(p)
        expected = [
            min(1.0, max((len(p) - j) * ranked[j] for j in range(ranked.index(value) + ranked.count(value))))
            for value in p
        ]
    assert ours(p) == pytest.approx(expected)
    assert ours([]) == []


def test_bad_values_are_named():
    with pytest.raises(DataError, match="3 and 2 values cannot be paired"):
        paired_bootstrap([1, 2, 3], [1, 2])
    with pytest.raises(DataError, match="value 1 is not finite"):
        permutation_p([1, float("nan")], [0, 0])
    with pytest.raises(NotEnoughData, match="1 queries give no interval"):
        bootstrap_mean([0.5])
    with pytest.raises(DataError, match="one number per query"):
        bootstrap_mean(np.zeros((2, 2)))
    assert permutation_p([1.0], [0.0], resamples=200) == 1.0
