"""Teacher scores: each distinct pair once, whole after a kill, never another scorer's; lists on one scale."""

import json
import math
import random
import subprocess
import sys
import textwrap
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import content_digest
from vecsmith.data.score_store import ScoreStore, pair_name
from vecsmith.data.teachers import (
    HOW,
    fill_scores,
    normalise_lists,
    rank_reward,
    score_pairs,
    teach,
    with_scores,
)
from vecsmith.errors import ContractError, Damaged, DataError, Locked, NotEnoughData, UsageError


class Lengths:
    """Scores a pair by its lengths, and remembers what it was asked."""

    def __init__(self, name="lengths", weight=10.0):
        self.description = {"kind": "test", "name": name, "weight": weight}
        self.weight, self.asked = weight, []

    def __call__(self, pairs):
        self.asked += pairs
        return np.array([len(query) * self.weight + len(document) for query, document in pairs])


def dataset():
    with Dataset.build(name="small") as builder:
        builder.add_record(query="one", positives=["first", "second text"], negatives=["other"])
        builder.add_record(query="two words", positives=["other"], negatives=["first", "a fourth one", "second text"])
        builder.add_record(query="one", positives=["first"], negatives=["a fourth one"])
        builder.add_record(query="alone", positives=[], kind="plain")
        return builder.finish()


def slow_scores(data, weight=10.0):
    """Per record, straight from the texts."""
    rows = data.records.to_pylist()
    texts = data.inputs["text"].to_pylist()
    return [
        [len(texts[row["query"]]) * weight + len(texts[one]) for one in row["positives"] + row["negatives"]]
        for row in rows
    ]


# filling


def test_scores_stand_beside_positives_then_negatives(tmp_path):
    filled = teach(dataset(), Lengths(), tmp_path / "scores")
    assert filled.records["teacher_scores"].to_pylist() == slow_scores(filled)
    assert filled.records.schema.equals(dataset().records.schema)


def test_each_distinct_pair_is_asked_for_once(tmp_path):
    scorer = Lengths()
    teach(dataset(), scorer, tmp_path / "scores")
    assert len(scorer.asked) == len(set(scorer.asked)) == 8  # of 9 candidates


def test_a_second_call_asks_nothing_and_gives_the_same(tmp_path):
    first = teach(dataset(), Lengths(), tmp_path / "scores")
    again = Lengths()
    second = teach(dataset(), again, tmp_path / "scores")
    assert again.asked == []
    assert second.records.equals(first.records)


def test_training_reads_what_was_filled(tmp_path):
    filled = teach(dataset(), Lengths(), tmp_path / "scores")
    columns = RecordColumns(filled, kind="retrieval")
    values = columns.teacher_scores.values
    assert values.tolist() == pytest.approx([score for row in slow_scores(filled) for score in row])


def test_saved_and_opened_it_still_has_them(tmp_path):
    filled = teach(dataset(), Lengths(), tmp_path / "scores").save(tmp_path / "taught")
    assert Dataset.open(tmp_path / "taught").records["teacher_scores"].to_pylist() == slow_scores(filled)


def test_lists_are_normalised_on_the_way_and_kept_raw(tmp_path):
    filled = teach(dataset(), Lengths(), tmp_path / "scores", how="minmax")
    lists = filled.records["teacher_scores"].to_pylist()
    assert [(min(row), max(row)) for row in lists if row] == [(0.0, 1.0)] * 3
    raw = with_scores(dataset(), ScoreStore.open(tmp_path / "scores"))
    assert raw.records["teacher_scores"].to_pylist() == slow_scores(raw)


def test_a_pair_without_a_score_is_named_with_its_record(tmp_path):
    store = ScoreStore(tmp_path / "scores", Lengths().description)
    with pytest.raises(NotEnoughData, match=r'record 1 of small: .* has no score of query "one" and document "first"'):
        with_scores(dataset(), store)


def test_a_dataset_without_candidates_has_nothing_to_score(tmp_path):
    with Dataset.build(name="texts") as builder:
        builder.add_record(query="alone", kind="plain")
        data = builder.finish()
    with pytest.raises(NotEnoughData, match="no record of texts has a positive or a negative"):
        teach(data, Lengths(), tmp_path / "scores")


def test_pairs_without_a_dataset_come_back_in_their_order(tmp_path):
    scorer = Lengths()
    store = ScoreStore(tmp_path / "scores", scorer.description)
    pairs = [("b", "long text"), ("a", "x"), ("b", "long text"), ("a", "y")]
    assert score_pairs(pairs, store, scorer, chunk=1).tolist() == [19.0, 11.0, 19.0, 11.0]
    assert len(scorer.asked) == 3


def test_texts_equal_after_normalisation_are_one_pair(tmp_path):
    scorer = Lengths()
    store = ScoreStore(tmp_path / "scores", scorer.description)
    found = score_pairs([("cafe\u0301", "x"), ("caf\u00e9", "x")], store, scorer)
    assert len(scorer.asked) == 1
    assert found[0] == found[1]


def test_a_score_that_hangs_on_more_than_the_pair_is_kept_apart(tmp_path):
    class Given(Lengths):
        answer = "yes"

        def given(self, query):
            return self.answer

        def __call__(self, pairs):
            return super().__call__(pairs) + len(self.answer)

    scorer = Given()
    store = ScoreStore(tmp_path / "scores", scorer.description)
    assert score_pairs([("a", "b")], store, scorer).tolist() == [14.0]
    scorer.answer = "certainly"
    assert score_pairs([("a", "b")], store, scorer).tolist() == [20.0]
    assert len(store) == 2


# refusing


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_refused_with_its_pair_and_the_rest_kept(tmp_path, bad):
    class Broken(Lengths):
        def __call__(self, pairs):
            scores = super().__call__(pairs)
            scores[[document == "a fourth one" for _, document in pairs]] = bad
            return scores

    broken = Broken()
    store = ScoreStore(tmp_path / "scores", broken.description)
    with pytest.raises(Damaged, match='the score of query "two words" and document "a fourth one" is'):
        fill_scores(dataset(), store, broken, chunk=2)
    assert len(ScoreStore.open(tmp_path / "scores")) == 4  # the chunks before it


def test_scores_of_another_scorer_are_refused_naming_what_differs(tmp_path):
    teach(dataset(), Lengths(), tmp_path / "scores")
    with pytest.raises(ContractError, match=r"holds test scores of lengths: weight 10\.0, now 3\.0\. Scores of two"):
        teach(dataset(), Lengths(weight=3.0), tmp_path / "scores")


def test_a_scorer_that_gives_another_shape_is_refused(tmp_path):
    scorer = Lengths()
    store = ScoreStore(tmp_path / "scores", scorer.description)
    with pytest.raises(DataError, match=r"shape \(2, 1\) for 2 pairs"):
        score_pairs([("a", "b"), ("a", "c")], store, Wide())


class Wide(Lengths):
    def __call__(self, pairs):
        return np.zeros((len(pairs), 1))


def test_a_folder_of_something_else_is_not_written_into(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds files but no teacher\.json"):
        ScoreStore(tmp_path, {"name": "x"})
    with pytest.raises(DataError, match=r"no teacher\.json here"):
        ScoreStore.open(tmp_path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "scores-000000.arrow").write_bytes(b"cut"), "remove that file"),
        (lambda folder: (folder / "teacher.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "teacher.json").write_text('{"format": "other"}'), "no description of teacher"),
        (
            lambda folder: (folder / "scores-000007.arrow").write_bytes((folder / "scores-000000.arrow").read_bytes()),
            "8 pairs stand twice",
        ),
    ],
)
def test_damaged_folders_are_refused(tmp_path, damage, words):
    teach(dataset(), Lengths(), tmp_path / "scores")
    damage(tmp_path / "scores")
    with pytest.raises(Damaged, match=words):
        ScoreStore.open(tmp_path / "scores")


def test_a_shard_of_other_columns_is_refused(tmp_path):
    teach(dataset(), Lengths(), tmp_path / "scores")
    table = pa.table({"query": ["a"]})
    with pa.ipc.new_file(str(tmp_path / "scores" / "scores-000001.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(Damaged, match="has the columns query"):
        ScoreStore.open(tmp_path / "scores")


def test_a_second_writer_is_told_to_wait(tmp_path):
    one = ScoreStore(tmp_path / "scores", {"name": "x"})
    two = ScoreStore(tmp_path / "scores", {"name": "x"})
    with one.writing(), pytest.raises(Locked, match="another process is scoring"), two.writing():
        pass


def test_a_writer_sees_what_another_wrote_since_it_opened(tmp_path):
    first, second = Lengths(), Lengths()
    stores = [ScoreStore(tmp_path / "scores", scorer.description) for scorer in (first, second)]
    fill_scores(dataset(), stores[0], first)
    assert fill_scores(dataset(), stores[1], second) == 0
    assert second.asked == []
    assert len(ScoreStore.open(tmp_path / "scores")) == 8


def test_a_later_version_is_not_guessed_at(tmp_path):
    store = ScoreStore(tmp_path / "scores", {"name": "x"})
    description = json.loads((store.folder / "teacher.json").read_text())
    (store.folder / "teacher.json").write_text(json.dumps({**description, "version": 2}))
    with pytest.raises(Damaged, match="version 2, known here is 1; upgrade"):
        ScoreStore.open(tmp_path / "scores")


# killed

SCRIPT = """
import sys, time
import numpy as np
import vecsmith.data.teachers as teachers
from vecsmith.data.score_store import ScoreStore

teachers.SHARD_PAIRS = 4
class Slow:
    description = {"name": "slow"}
    def __call__(self, pairs):
        time.sleep(0.01)
        return np.array([float(len(query) * 100 + len(document)) for query, document in pairs])

pairs = [("q" * (1 + number // 20), "d" * (1 + number % 20)) for number in range(200)]
print("ready", flush=True)
teachers.score_pairs(pairs, ScoreStore(sys.argv[1], Slow.description), Slow(), chunk=2)
"""


def test_a_killed_run_goes_on_with_nothing_lost_or_doubled(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    folder, kept = tmp_path / "scores", 0
    for turn in range(4):
        before = len(list(folder.glob("*.arrow")))
        running = subprocess.Popen([sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True)
        assert running.stdout.readline() == "ready\n"
        while len(list(folder.glob("*.arrow"))) == before:
            time.sleep(0.005)
        time.sleep(random.Random(turn).uniform(0, 0.1))
        running.kill()
        running.wait()
        running.stdout.close()
        now = len(ScoreStore.open(folder))
        assert now > kept
        kept = now
    assert kept < 200
    subprocess.run([sys.executable, str(script), str(folder)], check=True, stdout=subprocess.DEVNULL)
    store = ScoreStore.open(folder)
    assert len(store) == 200
    for number in range(200):
        query, document = "q" * (1 + number // 20), "d" * (1 + number % 20)
        name = pair_name(content_digest(query), content_digest(document))
        assert store[name] == len(query) * 100 + len(document)


# normalising


def slow_normalise(row, how):
    """One list of Python floats, NaN dropped and put back."""
    values = [value for value in row if not math.isnan(value)]
    low, high, count = min(values), max(values), len(values)
    mean = sum(values) / count
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / count)
    total = sum(math.exp(value - high) for value in values)
    made = {
        "none": lambda value: value,
        "minmax": lambda value: 0.5 if low == high else (value - low) / (high - low),
        "standard": lambda value: 0.0 if low == high else (value - mean) / deviation,
        "softmax": lambda value: math.exp(value - high) / total,
        "rank": lambda value: (
            -math.log(sum(other > value for other in values) + (sum(other == value for other in values) + 1) / 2)
        ),
    }[how]
    return [math.nan if math.isnan(value) else made(value) for value in row]


LISTS = st.lists(
    st.tuples(st.lists(st.integers(-40, 40).map(lambda x: x / 4), min_size=1, max_size=6), st.integers(0, 3)),
    min_size=1,
    max_size=4,
)


def padded(lists):
    width = max(len(values) + extra for values, extra in lists)
    return np.array([values + [math.nan] * (width - len(values)) for values, _ in lists])


@given(lists=LISTS, how=st.sampled_from(HOW))
def test_normalising_agrees_with_one_list_at_a_time(lists, how):
    scores = padded(lists)
    expected = np.array([slow_normalise(row, how) for row in scores.tolist()])
    np.testing.assert_allclose(normalise_lists(scores, how), expected, atol=1e-12)


@given(lists=LISTS, shift=st.integers(-9, 9), scale=st.sampled_from([0.5, 2.0, 8.0]))
def test_shift_and_scale_of_a_list_do_not_matter_for_these(lists, shift, scale):
    scores = padded(lists)
    for how in ("minmax", "standard", "rank"):
        np.testing.assert_allclose(
            normalise_lists(scores * scale + shift, how), normalise_lists(scores, how), atol=1e-9
        )


@given(lists=LISTS, how=st.sampled_from(HOW))
def test_normalising_keeps_the_order_of_a_list(lists, how):
    scores = padded(lists)
    for before, after in zip(scores, normalise_lists(scores, how), strict=True):
        there = ~np.isnan(before)
        higher = before[there][:, None] > before[there][None]
        assert (after[there][:, None] >= after[there][None])[higher].all()


def test_a_softmax_sums_to_one_and_sharpens_as_it_cools():
    scores = np.array([[1.0, 2.0, np.nan]])
    warm, cold = normalise_lists(scores, "softmax"), normalise_lists(scores, "softmax", temperature=0.01)
    assert np.nansum(warm) == pytest.approx(1.0)
    assert cold[0, 1] == pytest.approx(1.0)


def test_large_scores_do_not_run_over():
    assert normalise_lists(np.array([[1e5, 1e5 - 1]]), "softmax").tolist()[0] == pytest.approx([0.7310586, 0.2689414])


def test_no_lists_and_an_empty_list_stay_so():
    assert normalise_lists(np.empty((0, 3)), "minmax").shape == (0, 3)
    for how in HOW:
        assert np.isnan(normalise_lists(np.full((1, 2), np.nan), how)).all()


def test_bad_ways_are_refused_with_words():
    with pytest.raises(UsageError, match='"median" is no way to normalise lists; known: none, minmax'):
        normalise_lists(np.zeros((1, 2)), "median")
    with pytest.raises(UsageError, match="temperature is 0"):
        normalise_lists(np.zeros((1, 2)), "softmax", temperature=0)
    with pytest.raises(DataError, match="list 2 has an infinite score"):
        normalise_lists(np.array([[0.0], [np.inf]]), "minmax")


def test_the_reward_of_a_rank_falls_from_zero():
    rewards = rank_reward(np.arange(1, 9))
    assert rewards[0] == 0.0
    assert (np.diff(rewards) < 0).all()
    assert float(rank_reward(4)) == pytest.approx(-2 * math.log(2))
    with pytest.raises(UsageError, match=r"rank 0\.0: ranks are counted from 1"):
        rank_reward(0)
