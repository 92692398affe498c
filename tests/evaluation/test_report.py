"""Reports: what they print, that they survive a file, and how two are compared."""

import json

import numpy as np
import pytest

from vecsmith.errors import DataError, UsageError
from vecsmith.evaluation.differences import difference, interval_of
from vecsmith.evaluation.pair_classification import judge_pair_classification
from vecsmith.evaluation.report import Report, TaskResult
from vecsmith.evaluation.scores import Scores
from vecsmith.evaluation.statistics import permutation_p
from vecsmith.evaluation.sts import judge_scored


def retrieval(values, counts=None):
    values = np.asarray(values, dtype=float)
    return Scores("retrieval", "ndcg@10", values.mean(), {"ndcg@10": values.mean()}, {"ndcg@10": values}, counts or {})


def report(name, seed, *, lift=0.0, published=None):
    draw = np.random.default_rng(seed)
    base = np.random.default_rng(0).random(200) * 0.5
    gold = np.random.default_rng(1).integers(0, 6, 150)
    found = retrieval(np.clip(base + lift + draw.normal(0, 0.05, 200), 0, 1))
    scored = judge_scored(gold + draw.normal(0, 2 - 3 * lift, 150), gold)
    results = [
        TaskResult("Search", found, "aaaa", interval_of(found, resamples=500), published),
        TaskResult("Similar", scored, "bbbb", interval_of(scored, resamples=500)),
    ]
    return Report(name, "0123456789ab", tuple(results), {"vecsmith": "0"})


def test_the_table_fits_eighty_columns_and_shows_published_scores():
    text = str(report("a-model-with-a-rather-long-name", 3, published=0.25))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "published" in text
    assert "0.2500" in text
    assert text.splitlines()[-1].startswith("mean")
    assert "published" not in str(report("m", 3))


def test_a_failed_task_is_printed_as_failed_and_spoils_the_mean():
    failed = judge_scored([0.5, 0.5, 0.5], [1, 2, 3])
    one = Report("m", "", (TaskResult("Constant", failed, "x", interval_of(failed)), *report("m", 1).results))
    assert "failed: all 3 predictions are 0.5" in str(one)
    assert one.mean is None
    assert one.scores["Constant"] is None
    assert Report.from_json(one.to_json())["Constant"].scores.failed == failed.failed


def test_what_a_reader_must_know_stands_below_the_table():
    counts = {"tied_share": 0.25, "missing_documents": 3, "excluded_queries": 2, "unknown_share": 0.4}
    text = str(Report("m", "", (TaskResult("T", retrieval([0.1, 0.2], counts), "x"),)))
    for words in ("ties across the cutoff in 25%", "3 judged documents", "2 queries without", "40% of its tokens"):
        assert words in text


def test_a_report_read_from_its_file_compares_as_the_one_that_was_written(tmp_path):
    first, second = report("a", 3, lift=0.1), report("b", 4)
    (tmp_path / "r.json").write_text(first.to_json(), encoding="utf-8")
    again = Report.read(tmp_path / "r.json")
    assert again.to_dict() == first.to_dict()
    assert again.compare(second, resamples=300) == first.compare(second, resamples=300)
    assert first.compare(again, resamples=100).rows[1].p == 1.0
    with pytest.raises(DataError, match="no evaluation report"):
        Report.from_json(json.dumps({"format": 99}))


def test_a_comparison_pairs_the_queries_and_corrects_over_tasks():
    first, second = report("a", 3, lift=0.1), report("b", 4)
    compared = first.compare(second, resamples=999)
    search, similar = compared.rows
    assert search.interval.low > 0.05
    assert search.p == permutation_p(
        first["Search"].scores.per_query["ndcg@10"], second["Search"].scores.per_query["ndcg@10"], resamples=999
    )
    assert search.p_corrected == pytest.approx(min(1, 2 * min(search.p, similar.p)))
    assert similar.interval.mean == pytest.approx(first.scores["Similar"] - second.scores["Similar"])
    text = str(compared)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "holm over 2 tasks" in text
    assert json.loads(json.dumps(compared.to_dict()))["tasks"][0]["interval"] == [
        search.interval.low,
        search.interval.high,
    ]


def test_one_task_is_not_said_to_be_corrected_and_no_line_ends_in_a_space():
    one = Report("a", "", report("a", 3).results[:1])
    text = str(one.compare(Report("b", "", report("b", 4).results[:1]), resamples=99))
    assert text.endswith("p: permutation")
    for printed in (text, str(one), str(report("a", 3, published=0.5))):
        assert not [line for line in printed.splitlines() if line != line.rstrip()]


def test_a_failed_side_is_said_and_not_tested():
    failed = judge_scored(np.full(150, 0.5), np.random.default_rng(1).integers(0, 6, 150))
    broken = Report("b", "", (TaskResult("Similar", failed, "bbbb"),))
    compared = report("a", 1).compare(broken)
    assert compared.rows[0].p is None
    assert compared.rows[0].note == "failed: b"


def test_reports_that_cannot_be_compared_say_why():
    one = report("a", 1)
    with pytest.raises(UsageError, match="no task in common"):
        one.compare(Report("b", "", (TaskResult("Other", retrieval([1, 0]), "x"),)))
    with pytest.raises(DataError, match="judged on data aaaa and zzzz"):
        one.compare(Report("b", "", (TaskResult("Search", retrieval(np.ones(200)), "zzzz"),)))
    with pytest.raises(UsageError, match="known: holm"):
        one.compare(one, correction="none")
    with pytest.raises(DataError, match="cannot be paired"):
        difference(retrieval([1, 0]), judge_scored([1, 2], [1, 2]))


def test_average_precision_has_an_interval_and_a_paired_difference():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 120)
    ones = np.ones((120, 1))

    def judged(noise):
        angle = np.where(labels == 1, 0.3, 0.9) + draw.normal(0, noise, 120)
        return judge_pair_classification(
            np.column_stack([ones, 0 * ones]), np.stack([np.cos(angle), np.sin(angle)], 1), labels
        )

    good, bad = judged(0.2), judged(0.9)
    interval = interval_of(good, resamples=200)
    assert interval.low < good.value < interval.high <= 1
    better, p = difference(good, bad, resamples=200)
    assert better.low > 0
    assert p == pytest.approx(1 / 201)


def test_one_query_has_a_score_and_no_interval():
    assert interval_of(retrieval([0.5])) is None
