"""No group and no text on two sides."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.dataset import Dataset
from vecsmith.data.split import LEFT_OUT, SHARES, assign_splits, split_groups, split_of, without_leaks
from vecsmith.errors import DataError, NotEnoughData, UsageError

names = st.text(max_size=6)
ORDER = {"train": 0, "dev": 1, "test": 2}


@given(st.lists(names), st.lists(names), st.integers(-5, 5))
def test_by_hash_a_group_keeps_its_side_when_others_come(groups, more, seed):
    alone, together = split_groups(groups, seed=seed), split_groups(groups + more, seed=seed)
    assert alone == {group: together[group] for group in groups}
    assert all(split_of(group, seed=seed) == side for group, side in together.items())


def test_by_hash_many_groups_meet_the_shares_and_the_seed_moves_them():
    groups = [f"package {number}" for number in range(20_000)]
    one, other = split_groups(groups), split_groups(groups, seed=1)
    counts = Counter(one.values())
    for name, share in SHARES.items():
        assert counts[name] / len(groups) == pytest.approx(share, abs=0.012)  # four deviations of a fair draw
    assert sum(one[group] != other[group] for group in groups) > 0.2 * len(groups)


@given(st.dictionaries(names, st.integers(1, 1000), min_size=3, max_size=30), st.integers(0, 5))
def test_balanced_gives_every_side_a_group_and_comes_near_the_shares(sizes, seed):
    groups = [group for group, size in sizes.items() for _ in range(size)]
    sides = split_groups(groups, seed=seed, balanced=True)
    assert sides.keys() == sizes.keys()
    assert set(sides.values()) == set(SHARES)
    total, largest = sum(sizes.values()), max(sizes.values())
    for name, share in SHARES.items():
        here = sum(size for group, size in sizes.items() if sides[group] == name)
        assert here <= share * total + largest  # no side is overfull by more than one group


def test_balanced_hits_the_shares_by_documents_where_groups_are_unequal():
    sizes = {"a": 300, "b": 250, "c": 250, "d": 60, "e": 60, "f": 40, "g": 40}
    sides = split_groups([group for group, size in sizes.items() for _ in range(size)], balanced=True)
    assert sides == split_groups(sizes, balanced=True)
    counts = Counter()
    for group, side in sides.items():
        counts[side] += sizes[group]
    assert counts == {"train": 800, "dev": 100, "test": 100}


def test_balanced_needs_a_group_for_each_side():
    assert set(split_groups(["a", "b", "c"], balanced=True).values()) == set(SHARES)
    with pytest.raises(NotEnoughData, match=r"2 groups for 3 sides \(train, dev, test\)"):
        split_groups(["a", "b", "a"], balanced=True)


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.2, "test": -0.2}, {"train": 1.0, "test": 0.0}])
def test_shares_that_do_not_sum_to_one_are_refused(shares):
    with pytest.raises(UsageError, match="each must be above 0, and all must sum to 1"):
        split_groups(["a"], shares)


def test_the_name_of_what_is_left_out_is_no_side():
    with pytest.raises(UsageError, match="left_out"):
        split_groups(["a"], {"train": 0.5, LEFT_OUT: 0.5})


texts = st.sampled_from([f"text {number}" for number in range(12)])
sides = st.sampled_from([None, "train", "dev", "test", "other"])
documents = st.lists(st.tuples(texts, sides), max_size=12)
records = st.lists(st.tuples(texts, st.lists(texts, max_size=2), st.lists(texts, max_size=1), sides), max_size=12)


def build(documents, records):
    with Dataset.build(name="x") as builder:
        for number, (text, side) in enumerate(documents):
            builder.add_document(f"d{number}", text, split=side)
        for query, positives, negatives, side in records:
            builder.add_record(query=query, positives=positives, negatives=negatives, split=side)
        return builder.finish()


def leaks_by_sets(documents, records):
    """The rule in plain words, side by side and text by text."""
    earlier = set()
    document_splits, record_splits = [side for _, side in documents], [record[3] for record in records]
    for side in ORDER:
        new = set()
        for number, (text, at) in enumerate(documents):
            if at == side:
                if side != "train" and text in earlier:
                    document_splits[number] = LEFT_OUT
                else:
                    new.add(text)
        for number, (query, positives, negatives, at) in enumerate(records):
            if at == side:
                if side != "train" and earlier & {query, *positives}:
                    record_splits[number] = LEFT_OUT
                else:
                    new |= {query, *positives, *negatives}
        earlier |= new
    return document_splits, record_splits


@settings(max_examples=150, deadline=None)
@given(documents=documents, records=records)
def test_leaks_agree_with_a_reference_on_sets(documents, records):
    dataset, report = without_leaks(build(documents, records))
    expected = leaks_by_sets(documents, records)
    assert dataset.documents.table["split"].to_pylist() == expected[0]
    assert dataset.records["split"].to_pylist() == expected[1]
    assert sum(report.documents.values()) == expected[0].count(LEFT_OUT)
    assert sum(report.records.values()) == expected[1].count(LEFT_OUT)


@settings(max_examples=60, deadline=None)
@given(documents=documents, records=records)
def test_removing_leaks_twice_removes_nothing_more(documents, records):
    once, _ = without_leaks(build(documents, records))
    twice, report = without_leaks(once)
    assert twice.fingerprint() == once.fingerprint()
    assert str(report) == "texts that stand on an earlier side too leave: none"


def test_what_leaks_is_counted_per_side_and_stays_in_the_dataset():
    dataset, report = without_leaks(
        build(
            [("shared", "train"), ("shared", "dev"), ("shared", "test"), ("own", "test")],
            [("q", ["shared"], [], "train"), ("q", ["own"], [], "test"), ("q2", ["own"], [], "test")],
        )
    )
    assert report.documents == {"dev": 1, "test": 1}
    assert report.records == {"dev": 0, "test": 1}
    assert str(report) == (
        "texts that stand on an earlier side too leave: dev 1 documents and 0 records; test 1 documents and 1 records"
    )
    assert len(dataset.documents) == 4
    assert dataset.split("test").documents.ids == ["d3"]
    assert len(dataset.split("test").judgements().query_texts) == 1


groups = st.none() | st.sampled_from("abcdef")


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.tuples(groups, texts), min_size=3, max_size=25), balanced=st.booleans(), seed=st.integers(0, 9))
def test_no_group_and_no_text_is_on_two_sides_in_the_end(rows, balanced, seed):
    with Dataset.build(name="x") as builder:
        for number, (group, text) in enumerate(rows):
            builder.add_document(f"d{number}", text, group=group)
            builder.add_record(query=f"query of {text}", positives=[text], group=group)
        dataset = builder.finish()
    try:
        split, _ = without_leaks(assign_splits(dataset, seed=seed, balanced=balanced))
    except NotEnoughData:
        return
    by_group, by_text = {}, {}
    table = split.documents.table
    for group, input, side in zip(*(table[name].to_pylist() for name in ("group", "input", "split")), strict=True):
        if side != LEFT_OUT:
            by_text.setdefault(split.text(input), set()).add(side)
            if group is not None:
                by_group.setdefault(group, set()).add(side)
    for record in split.records.to_pylist():
        if record["split"] != LEFT_OUT:
            by_text.setdefault(split.text(record["query"]), set()).add(record["split"])
            by_text.setdefault(split.text(record["positives"][0]), set()).add(record["split"])
    assert all(len(found) == 1 for found in [*by_group.values(), *by_text.values()])


@pytest.mark.parametrize("count", [3, 20, 900])
def test_a_dataset_without_splits_is_dealt_when_one_is_asked_for(count):
    with Dataset.build(name="x") as builder:
        for number in range(count):
            builder.add_document(f"d{number}", f"text {number}", group=f"g{number}")
            builder.add_record(query=f"query {number}", positives=[f"text {number}"], group=f"g{number}")
        dataset = builder.finish()
    sides = [dataset.split(name).documents.ids for name in SHARES]
    assert all(sides)
    assert sorted(id for side in sides for id in side) == sorted(dataset.documents.ids)
    assert len(sides[0]) >= max(len(side) for side in sides)
    with pytest.raises(DataError, match='no split "validation" in dataset x; known: train, dev, test'):
        dataset.split("validation")


def test_two_groups_cannot_be_dealt_into_three_sides():
    with pytest.raises(NotEnoughData, match="2 groups for 3 sides"):
        build([("a", None), ("b", None)], []).split("test")


def test_records_without_a_group_go_with_the_document_that_answers_them():
    with Dataset.build(name="x") as builder:
        for number in range(60):
            builder.add_document(f"d{number}", f"text {number}", group=f"g{number % 30}")
            builder.add_record(query=f"query {number}", positives=[f"text {number}"])
        dataset = assign_splits(builder.finish())
    assert dataset.records["split"].to_pylist() == dataset.documents.table["split"].to_pylist()
    assert set(dataset.splits) == {"train", "dev", "test"}
