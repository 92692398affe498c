"""Records to the kinds of training: the table of labels, laws on random sets, and labels that nobody declared."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.collection import load_collection
from vecsmith.data.dataset import Dataset
from vecsmith.data.pairs.grades import Grading, parse_labels
from vecsmith.data.pairs.read_records import read_line_records, read_records
from vecsmith.data.pairs.transform import transform
from vecsmith.errors import DataError, NotEnoughData, UsageError

LABELS = {"entailment": 1.0, "neutral": 0.5, "contradiction": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def pairs(rows, kind="pair"):
    with Dataset.build(name="rows") as builder:
        for query, text, label in rows:
            builder.add_record(query=query, positives=[text], label=label, kind=kind)
        return builder.finish()


def classes(rows):
    with Dataset.build(name="rows") as builder:
        for text, label, split in rows:
            builder.add_record(query=text, label=label, kind="class", split=split)
        return builder.finish()


def told(dataset):
    """Records with texts, as a set: what they say, whatever their order."""
    return {
        (
            dataset.text(r["query"]),
            tuple(sorted(dataset.texts(r["positives"]))),
            tuple(sorted(dataset.texts(r["negatives"]))),
            tuple(r["scores"] or ()),
            r["label"],
        )
        for r in dataset.records.to_pylist()
    }


@pytest.mark.parametrize("label", [*LABELS, "ENTAILMENT", " Neutral "])
def test_a_known_label_has_its_grade(label):
    assert Grading().grade(label) == LABELS[label.strip().casefold()]


rows_of_pairs = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("bcdefgh"), st.sampled_from(["entailment", "neutral", "no"])),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40)
@given(rows=rows_of_pairs)
def test_scored_keeps_every_pair_with_its_grade(rows):
    made, report = transform(pairs(rows), "scored")
    assert report.written == len(rows)
    found = [(made.text(r["query"]), made.text(r["positives"][0]), r["scores"]) for r in made.records.to_pylist()]
    assert found == [(query, text, [LABELS[label]]) for query, text, label in rows]


@settings(max_examples=40)
@given(rows=rows_of_pairs, to=st.sampled_from(["retrieval", "triplets"]), order=st.randoms())
def test_gathered_records_are_those_of_a_slow_reference_in_any_order(rows, to, order):
    wanted = set()
    for query in {query for query, _, _ in rows}:
        good = {text for asked, text, label in rows if asked == query and LABELS[label] == 1.0} - {query}
        bad = {text for asked, text, label in rows if asked == query and LABELS[label] == 0.0} - good - {query}
        if to == "retrieval" and good:
            wanted.add((query, tuple(sorted(good)), tuple(sorted(bad)), (), None))
        if to == "triplets" and bad:
            wanted |= {(query, (text,), tuple(sorted(bad)), (), None) for text in good}
    order.shuffle(rows)
    if not wanted:
        with pytest.raises(NotEnoughData, match="no record of"):
            transform(pairs(rows), to)
    else:
        assert told(transform(pairs(rows), to)[0]) == wanted


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("XYZ"), st.just("train")), min_size=2),
    seed=st.integers(0, 99),
    order=st.randoms(),
)
def test_negatives_of_a_class_are_of_others_and_hang_on_seed_and_keys_alone(rows, seed, order):
    if len({label for _, label, _ in rows}) < 2:
        with pytest.raises(NotEnoughData, match="negatives are texts of other classes"):
            transform(classes(rows), "class", seed=seed)
        return
    made, _ = transform(classes(rows), "class", negatives=3, seed=seed)
    of_class = {label: {text for text, other, _ in rows if other == label} for _, label, _ in rows}
    for _, _, negatives, _, label in told(made):
        assert not of_class[label] & {*negatives}
        assert len({*negatives}) == len(negatives)
    order.shuffle(rows)
    assert told(transform(classes(rows), "class", negatives=3, seed=seed)[0]) == told(made)


def test_negatives_of_a_class_come_from_its_own_split():
    rows = [(f"{split} {label} {n}", label, split) for split in ("train", "test") for label in "XY" for n in range(4)]
    made, _ = transform(classes(rows), "class", negatives=2)
    for query, _, negatives, _, _ in told(made):
        assert len(negatives) == 2
        assert all(text.split()[0] == query.split()[0] for text in negatives)


@pytest.mark.parametrize("label", ["maybe", "2", "nan", "inf", "entail ment", "-", "", "x" * 1000])
def test_a_label_nobody_knows_names_file_row_and_value(label, tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text(f"premise\thypothesis\tlabel\na\tb\tentailment\nc\td\t{label}\n")
    options = {"query": "premise", "document": "hypothesis", "label": "label", "kind": "pair"}
    data, origin = read_records(file, **options)
    with pytest.raises(DataError) as caught:
        transform(data, "scored", origin=origin)
    assert str(caught.value).startswith(f"{file}, row 2: ")
    assert (label[:50] in str(caught.value)) if label else ("no label" in str(caught.value))
    _, report = transform(data, "scored", origin=origin, labels={label: None})
    assert (report.written, sum(report.dropped.values())) == (1, 1)


def test_numbers_need_a_scale_declared_or_found(tmp_path):
    data = pairs([("a", "b", "5"), ("a", "c", "1"), ("a", "d", "3")])
    assert [r["scores"] for r in transform(data, "scored", score_range="found")[0].records.to_pylist()] == [
        [1],
        [0],
        [0.5],
    ]
    assert transform(data, "scored", score_range=(0, 5))[0].records["scores"].to_pylist()[1] == pytest.approx([0.2])
    with pytest.raises(DataError, match="outside the scale 0 to 4"):
        transform(data, "scored", score_range=(0, 4))
    with pytest.raises(DataError, match="a scale that nobody declared"):
        transform(data, "scored")
    file = tmp_path / "scores.csv"
    file.write_text("sentence1,sentence2,score\na,b,5\nc,d,1\n")
    assert read_records(file, score_range="found")[0].records["scores"].to_pylist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    ("data", "to", "words"),
    [
        (classes([("a", "X", None)]), "scored", "scored needs pairs. Such texts go --to class"),
        (pairs([("a", "b", "yes")]), "class", "is of kind pair; a text and its class were expected"),
        (pairs([("a", "b", None)]), "scored", "no label; a pair needs one"),
    ],
)
def test_records_that_cannot_become_it_say_so(data, to, words):
    with pytest.raises(DataError, match=words):
        transform(data, to)


def test_options_that_mean_nothing_are_refused():
    data = pairs([("a", "b", "yes")])
    for options in ({"to": "ranking"}, {"by": "x"}, {"positive_from": 0.0}, {"negatives": -1}, {"score_range": "all"}):
        with pytest.raises(UsageError):
            transform(data, **{"to": "scored", **options})
    for text in ("a", "a=b", "a=2"):
        with pytest.raises(UsageError):
            Grading(parse_labels(text))


@pytest.mark.parametrize(
    ("line", "to", "options", "written"),
    [
        ("SNLI", "scored", {}, 19_666),
        ("SNLI", "triplets", {}, 6_328),
        ("STS Benchmark", "scored", {}, 8_628),
        ("SICK", "triplets", {"by": "label"}, 325),
        ("Quora question pairs", "retrieval", {}, 9_440),
        ("CLINC150", "class", {}, 23_700),
        ("SciFact", "retrieval", {}, 1_107),
        ("WikiQA", "retrieval", {}, 1_242),
    ],
)
def test_published_sets_become_what_is_asked(line, to, options, written, shared_data):
    data, origin = read_line_records(load_collection("published_sets").line(line), shared_data)
    assert transform(data, to, origin=origin, **options)[1].written == written
