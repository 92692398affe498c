"""The epoch sampler: task-homogeneous, a function of (seed, epoch), groups apart, of constant length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.sampler import EpochSampler, Source
from vecsmith.errors import NotEnoughData


def sampler(*sizes, batch_size=8, seed=1, **options):
    sources = [Source(np.arange(size) + 1000 * number, **options) for number, size in enumerate(sizes)]
    return EpochSampler(sources, batch_size=batch_size, seed=seed)


def flat(draws):
    return [(draw.dataset, draw.rows.tolist(), draw.seed) for draw in draws]


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(2, 60), min_size=1, max_size=4), batch=st.integers(2, 12), epoch=st.integers(0, 3))
def test_every_batch_is_of_one_dataset_and_no_record_comes_twice_in_an_epoch(sizes, batch, epoch):
    here = sampler(*sizes, batch_size=batch)
    draws = here.plan(epoch)
    assert len(draws) == len(here)
    rows = [row for draw in draws for row in draw.rows.tolist()]
    assert len(rows) == len(set(rows))
    assert all(row // 1000 == draw.dataset for draw in draws for row in draw.rows.tolist())
    assert {len(draw.rows) for draw in draws} <= {batch, *(size for size in sizes if size < batch)}


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_give_others():
    assert flat(sampler(40, 30).plan(2)) == flat(sampler(40, 30).plan(2))
    assert flat(sampler(40, 30).plan(2)) != flat(sampler(40, 30).plan(1))
    assert flat(sampler(40, 30).plan(2)) != flat(sampler(40, 30, seed=2).plan(2))


def test_set_epoch_decides_what_iterating_yields():
    here = sampler(40)
    here.set_epoch(3)
    assert flat(here) == flat(here.plan(3))


def test_a_weight_of_two_brings_a_dataset_twice_an_epoch():
    sources = [Source(np.arange(16)), Source(np.arange(16), weight=2.0), Source(np.arange(16), weight=0.5)]
    draws = EpochSampler(sources, batch_size=4, seed=0).plan(0)
    assert [sum(draw.dataset == number for draw in draws) for number in range(3)] == [4, 8, 2]
    twice = [row for draw in draws if draw.dataset == 1 for row in draw.rows.tolist()]
    assert sorted(twice) == sorted([*range(16), *range(16)])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), groups=st.integers(8, 30))
def test_no_two_rows_of_a_batch_share_a_group_where_asked(seed, groups):
    codes = np.random.default_rng(seed).integers(-1, groups, 100)
    here = EpochSampler([Source(np.arange(100), codes)], batch_size=6, seed=seed)
    for epoch in range(2):
        draws = here.plan(epoch)
        assert len(draws) == len(here)
        for draw in draws:
            named = [code for code in codes[draw.rows].tolist() if code >= 0]
            assert len(named) == len(set(named))


def test_records_that_fill_no_batch_are_counted():
    assert sampler(21, batch_size=8).left_out() == 5


def test_a_dataset_smaller_than_a_batch_is_one_batch():
    assert [len(draw.rows) for draw in sampler(3, batch_size=8).plan(0)] == [3]


def test_one_usable_record_is_an_error_that_names_the_dataset():
    with pytest.raises(NotEnoughData, match="dataset faq: 1 usable pairs; a batch needs at least 2"):
        EpochSampler([Source(np.arange(1), name="faq")], batch_size=8, seed=0)


def test_a_million_records_in_twenty_datasets_are_planned_in_under_two_seconds():
    import time

    start = time.process_time()
    here = sampler(*[50_000] * 20, batch_size=256)
    here.plan(0)
    assert time.process_time() - start < 2
