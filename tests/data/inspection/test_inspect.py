"""What an inspection finds in datasets with planted faults, and the laws that hold for any."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.dataset import Dataset
from vecsmith.data.inspection.findings import findings_of
from vecsmith.data.inspection.inspect import inspect_dataset


def labelled(rows, name="planted"):
    """Rows (text, label, split) as class records with documents."""
    with Dataset.build(name=name) as builder:
        for number, (text, label, split) in enumerate(rows):
            builder.add_document(str(number), text, split=split)
            builder.add_record(query=text, label=label, kind="class", split=split)
        return builder.finish()


def pairs(rows):
    """Rows (left, right, score, split) as scored records."""
    with Dataset.build(name="planted") as builder:
        for left, right, score, split in rows:
            builder.add_record(query=left, positives=[right], scores=[score], kind="scored", split=split)
        return builder.finish()


def words(dataset, **options):
    return [finding.words for finding in findings_of(inspect_dataset(dataset), **options)]


def acts(dataset, **options):
    return [finding.words for finding in findings_of(inspect_dataset(dataset), **options) if finding.act]


def test_a_text_on_both_sides_is_a_leak_and_the_way_out_takes_it_away():
    rows = [(f"text {n}", "ab"[n % 2], "train") for n in range(20)]
    rows += [("text 3", "b", "test"), ("another", "a", "test"), ("TEXT  4", "a", "test")]
    dataset = labelled(rows)
    inspection = inspect_dataset(dataset)
    (shown,) = [shown for shown in inspection.leaks if shown.leak.kind == "text"]
    assert (shown.leak.shared, shown.leak.affected, shown.leak.records, shown.leak.near) == (1, 1, 3, 1)
    assert shown.examples == ("text 3",)
    assert shown.near_examples == (("text 4", "TEXT  4"),)
    finding = next(finding for finding in findings_of(inspection) if "stands in train" in finding.words)
    assert finding.words == (
        "1 of 3 (33 %) records of test have a text that stands in train too (1 text; 1 of the records word for word; "
        "1 more differs in case or white space only)"
    )
    code = finding.way_out.partition("\n")[2]
    scope = {"data": dataset}
    exec(code, scope)
    assert [leak.leak.shared for leak in inspect_dataset(scope["data"]).leaks] == [0]


def test_a_pair_leaks_by_either_side_and_whole_pairs_are_told_apart():
    rows = [("a cat", "one cat", 1.0, "train"), ("a dog", "one dog", 0.5, "train")]
    rows += [("one cat", "a cat", 1.0, "test"), ("a dog", "new", 0.0, "test"), ("fresh", "clean", 0.0, "test")]
    leaks = {shown.leak.kind: shown.leak for shown in inspect_dataset(pairs(rows)).leaks}
    assert leaks["text"].affected == 2
    assert leaks["record"].affected == 1  # the sides of a pair may change places


def test_sides_of_one_rank_do_not_leak_into_each_other():
    rows = [("same", "a", "dev"), ("same", "a", "validation"), ("other", "b", "hindi"), ("other", "b", "marathi")]
    assert inspect_dataset(labelled(rows)).leaks == ()


def test_a_shared_corpus_is_no_leak_but_a_query_on_both_sides_is():
    with Dataset.build(name="planted") as builder:
        for number in range(6):
            builder.add_document(f"d{number}", f"answer {number}")
        builder.add_record(query="how?", positives=["answer 0"], split="train")
        builder.add_record(query="when?", positives=["answer 1"], split="train")
        builder.add_record(query="how?", positives=["answer 2"], split="test")
        builder.add_record(query="why?", positives=["answer 1"], split="test")
        dataset = builder.finish()
    assert acts(dataset) == ["1 of 2 (50 %) records of test have a query that stands in train too (1 query)"]
    assert any("1 answers of test are answers in train too" in said for said in words(dataset))


def test_a_group_on_both_sides_is_a_leak():
    with Dataset.build(name="planted") as builder:
        for number, (group, split) in enumerate([("page1", "train"), ("page2", "train"), ("page1", "test")]):
            builder.add_document(f"d{number}", f"text {number}", group=group, split=split)
            builder.add_record(query=f"q {number}", positives=[f"text {number}"], group=group, split=split)
        dataset = builder.finish()
    assert "1 group has rows in test and in train" in acts(dataset)


def test_copies_are_counted_and_those_that_contradict_each_other_named():
    rows = [("good", "plus", None)] * 3 + [("bad", "minus", None), ("bad", "plus", None), ("Good ", "plus", None)]
    inspection = inspect_dataset(labelled(rows))
    assert inspection.copies.records == 3
    assert inspection.copies.record_examples[0] == ("good", 3)
    assert inspection.copies.near == 2
    assert inspection.copies.near_examples == (("Good ", "good"),) or inspection.copies.near_examples == (
        ("good", "Good "),
    )
    assert inspection.copies.contradicting == 1
    assert inspection.copies.contradicting_examples == (("bad", "minus", "plus"),)


def test_a_negative_that_is_a_positive_is_found():
    with Dataset.build(name="planted") as builder:
        builder.add_record(query="q", positives=["right"], negatives=["wrong", "right"])
        builder.add_record(query="r", positives=["other"], negatives=["right"])
        dataset = builder.finish()
    assert "1 negatives are positives of the same query" in acts(dataset)


def test_classes_that_are_single_missing_or_several_in_one_cell_are_said():
    rows = [(f"t{n}", "a", "train") for n in range(5)] + [("x", "b", "test"), ("y", "b", "test"), ("z", "c", "train")]
    found = acts(labelled(rows))
    assert "1 class of test never stands in training: b" in found
    assert "1 class has one text only" in found
    several = acts(labelled([("x", "4,27", None), ("y", "4", None), ("z", "27", None)]))
    assert any("look like several in one cell" in said for said in several)


def test_entropy_is_that_of_the_classes():
    labels = inspect_dataset(labelled([(f"t{n}", "abcd"[n % 4], None) for n in range(40)])).labels
    assert labels.entropy == pytest.approx(2.0)
    assert labels.balance == pytest.approx(1.0)
    unequal = inspect_dataset(labelled([(f"t{n}", "a" if n else "b", None) for n in range(100)])).labels
    assert unequal.entropy == pytest.approx(-(0.99 * np.log2(0.99) + 0.01 * np.log2(0.01)))


def test_scripts_are_shares_of_letters_and_mixed_texts_are_counted():
    dataset = labelled([("abcd 123", "a", None), ("жжжж", "a", None), ("abc жжж", "a", None), ("42", "a", None)])
    scripts = inspect_dataset(dataset).scripts
    assert scripts.letters == {"Latin": pytest.approx(0.5), "Cyrillic": pytest.approx(0.5)}
    assert (scripts.mixed, scripts.without_letters) == (1, 1)


def test_japanese_and_korean_with_chinese_characters_count_as_they_are_written():
    scripts = inspect_dataset(labelled([("漢字とかなカナ", "a", None)])).scripts
    assert scripts.mixed == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lost \ufffd here", "replacement character"),
        ("bell \x07", "control character"),
        ("turn \u202e around", "direction mark"),
        ("it isnâ€™t", "UTF-8 read as Windows-1252"),
        ("fish &amp; chips", "HTML markup"),
        ("one<br>two", "HTML markup"),
    ],
)
def test_signs_of_damage_are_found(text, name):
    assert [sign.name for sign in inspect_dataset(labelled([(text, "a", None), ("fine", "a", None)])).signs] == [name]


@pytest.mark.parametrize(
    "text", ["naïve façade", "a < b & c > d", "Ã la carte", "AT&T; x", "ção água", "مرحبا \u200cبك"]
)
def test_plain_text_shows_no_sign_of_damage(text):
    assert inspect_dataset(labelled([(text, "a", None)])).signs == ()


def test_what_many_texts_begin_with_is_found():
    rows = [(f"Represent this sentence for searching: {n * n} things", "a", None) for n in range(60)]
    (opening,) = inspect_dataset(labelled(rows)).openings[:1]
    assert opening.text == "Represent this sentence for searching: "
    assert (opening.texts, opening.of) == (60, 60)


def test_attributes_are_typed_and_counted():
    with Dataset.build(name="planted") as builder:
        for n in range(10):
            tags = ["x", "y"] if n % 2 else ["x"]
            builder.add_document(
                f"d{n}", f"text {n}", {"year": 2000 + n, "one": "same", "tags": tags, "gap": n or None}
            )
        dataset = builder.finish()
    values = inspect_dataset(dataset).attributes
    assert (values["year"].type, values["year"].distinct, values["year"].least, values["year"].greatest) == (
        "int",
        10,
        2000,
        2009,
    )
    assert values["tags"].common == (("x", 10), ("y", 5))
    assert values["gap"].missing == 1
    assert "no filter can use one: it has one value or none" in words(dataset)


def test_long_texts_and_unknown_tokens_are_said():
    dataset = labelled([("long " * 300, "a", None), ("short", "a", None)])
    inspection = inspect_dataset(dataset, count_tokens=lambda texts: np.array([len(text.split()) for text in texts]))
    assert inspection.lengths["texts"].tokens.over == {256: 0.5, 512: 0.0}
    found = [finding.words for finding in findings_of(inspection, unknown_share=0.4)]
    assert "50% of the texts are longer than 256 tokens, where many models stop reading" in found
    assert "40% of the tokens are unknown to the default model" in found


TEXTS = st.text(st.sampled_from("abAB жé漢\n\u202e&;"), min_size=1, max_size=6).filter(lambda text: text.strip())
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from("xyz"), st.sampled_from(["train", "dev", "test", None])), min_size=1)


@settings(max_examples=60)
@given(ROWS)
def test_counts_add_up(rows):
    dataset = labelled(rows)
    inspection = inspect_dataset(dataset)
    assert sum(split["records"] for split in inspection.splits.values()) == len(rows) == inspection.counts["records"]
    assert inspection.copies.records + len({row[0] for row in canonical(rows)}) == len(rows)
    assert sum(inspection.scripts.texts.values()) + inspection.scripts.without_letters == inspection.counts["inputs"]
    counts = Counter(label for _, label, _ in rows)
    assert inspection.labels.largest == tuple(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
    for shown in inspection.leaks:
        if shown.leak.kind == "text":
            sides = [
                {text for text, _, split in canonical(rows) if split == side}
                for side in (shown.leak.earlier, shown.leak.later)
            ]
            assert shown.leak.shared == len(sides[0] & sides[1])
            assert shown.leak.affected == sum(
                text in sides[0] for text, _, split in canonical(rows) if split == shown.leak.later
            )


def canonical(rows):
    import unicodedata

    return [(unicodedata.normalize("NFC", text), label, split) for text, label, split in rows]


@settings(max_examples=60)
@given(ROWS, st.integers(0, 1000))
def test_the_order_of_rows_changes_nothing(rows, seed):
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    one, other = (inspect_dataset(labelled(each)).to_json() for each in (rows, shuffled))
    assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
