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


def sources_of(sizes, **options):
    return [
        Source(np.arange(size) + 1000 * number, name=f"set{number}", **options) for number, size in enumerate(sizes)
    ]


def test_temperature_decides_how_much_of_an_epoch_each_dataset_is():
    for temperature, counts in [(1.0, [90, 10]), (0.5, [75, 25]), (0.0, [50, 50])]:
        here = EpochSampler(sources_of([900, 100]), batch_size=10, seed=0, temperature=temperature)
        draws = here.plan(0)
        assert [sum(draw.dataset == number for draw in draws) for number in range(2)] == counts
    here = EpochSampler(sources_of([900, 100]), batch_size=10, seed=0, temperature=0.5)
    assert here.shares() == pytest.approx([750 / 900, 2.5])


def test_temperature_one_is_no_temperature_and_no_size_overflows():
    plain = EpochSampler(sources_of([90, 40]), batch_size=10, seed=0)
    assert flat(plain) == flat(EpochSampler(sources_of([90, 40]), batch_size=10, seed=0, temperature=1.0))
    steep = EpochSampler(sources_of([90, 40]), batch_size=10, seed=0, temperature=400.0)
    assert [sum(draw.dataset == number for draw in steep) for number in range(2)] == [13, 1]


def test_a_cap_takes_other_records_in_every_epoch():
    here = EpochSampler([Source(np.arange(100), cap=20)], batch_size=10, seed=0)
    taken = [{row for draw in here.plan(epoch) for row in draw.rows.tolist()} for epoch in range(40)]
    assert {len(rows) for rows in taken} == {20}
    assert set.union(*taken) == set(range(100))


def test_each_dataset_has_its_own_batch_size():
    sources = [Source(np.arange(40)), Source(np.arange(40), batch_size=7)]
    assert {(d.dataset, len(d.rows)) for d in EpochSampler(sources, batch_size=10, seed=0)} == {(0, 10), (1, 7)}


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(12, 60), min_size=2, max_size=4),
    share=st.floats(0.1, 1.0),
    grouped=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_mixed_batches_hold_only_datasets_that_agree_and_no_record_twice(sizes, share, grouped, seed):
    random = np.random.default_rng(seed)
    sources = [
        Source(
            np.arange(size) + 1000 * number,
            random.integers(-1, 9, size) if grouped else None,
            mixes="agree" if number != 2 else None,
        )
        for number, size in enumerate(sizes)
    ]
    here = EpochSampler(sources, batch_size=6, seed=seed, mixed_share=share)
    for epoch in range(2):
        draws = here.plan(epoch)
        assert len(draws) == len(here)
        for draw in draws:
            owners = draw.rows // 1000
            expected = np.full(len(draw.rows), draw.dataset) if draw.datasets is None else draw.datasets
            assert owners.tolist() == expected.tolist() == sorted(expected.tolist())
            assert draw.datasets is None or 2 not in owners
            if grouped:
                named = [
                    (owner, code)
                    for owner, row in zip(owners.tolist(), draw.rows.tolist(), strict=True)
                    if (code := int(sources[owner].groups[row % 1000])) >= 0
                ]
                assert len(set(named)) == len(named)
        if not grouped:  # groups may ask for a second turn
            rows = [row for draw in draws for row in draw.rows.tolist()]
            assert len(rows) == len(set(rows))


def test_the_mixed_share_is_a_share_of_the_rows():
    here = EpochSampler(sources_of([400, 400, 200], mixes="all"), batch_size=10, seed=0, mixed_share=0.3)
    draws = here.plan(1)
    mixed = [draw for draw in draws if draw.datasets is not None]
    assert (len(draws), len(mixed)) == (100, 30)
    together = np.bincount(np.concatenate([draw.datasets for draw in mixed]))
    assert together.tolist() == [120, 120, 60]


def test_batches_by_tokens_are_planned_alike_for_all_and_counted():
    random = np.random.default_rng(0)
    sources = [Source(np.arange(500), tokens=random.integers(5, 300, 500)) for _ in range(2)]
    here, there = (EpochSampler(sources, batch_size=4, seed=5, batch_tokens=2000) for _ in range(2))
    assert flat(here.plan(1)) == flat(there.plan(1))
    steps = len(here) + 7
    drawn = [*here.plan(0), *here.plan(1)][:steps]
    assert here.rows_in(steps) == sum(len(draw.rows) for draw in drawn)
    for draw in drawn:
        assert len(draw.rows) * sources[draw.dataset].tokens[draw.rows].max() <= 2000


@pytest.mark.parametrize("batches", [0, 3, 9, 10, 31])
def test_rows_of_so_many_batches_are_those_of_the_plans(batches):
    here = sampler(33, 14, 3, batch_size=8)
    drawn = [draw for epoch in range(8) for draw in here.plan(epoch)][:batches]
    assert here.rows_in(batches) == sum(len(draw.rows) for draw in drawn)


@pytest.mark.parametrize(
    ("options", "source", "words"),
    [
        ({}, {"weight": float("inf")}, "dataset data: its weight is inf; a number above 0"),
        ({}, {"weight": float("nan")}, "its weight is nan"),
        ({}, {"weight": 0.0}, "its weight is 0.0"),
        ({}, {"weight": 1e9}, "an epoch of 10,000,000,000 batches is more than 50,000,000; lower the weights"),
        ({"temperature": float("inf")}, {}, "temperature is inf; a number of at least 0"),
        ({"temperature": -1.0}, {}, "temperature is -1.0"),
        ({"mixed_share": 1.5}, {}, "mixed_share is 1.5; a share is 0 to 1"),
        ({"mixed_share": float("nan")}, {}, "mixed_share is nan"),
        ({"mixed_share": 0.5}, {}, "no two datasets agree in kind, in_batch and teacher"),
        ({}, {"batch_size": 0}, "batches of 0 rows; give at least 1"),
        ({"batch_tokens": 100}, {}, "give at least 1, and `tokens`"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused_with_words(options, source, words):
    with pytest.raises(ValueError, match=words):
        EpochSampler([Source(np.arange(40), **source)], batch_size=4, seed=0, **options)


def test_a_cap_below_two_is_an_error():
    with pytest.raises(NotEnoughData, match="dataset faq: 1 usable pairs"):
        EpochSampler([Source(np.arange(40), cap=1, name="faq")], batch_size=4, seed=0)
