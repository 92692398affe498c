import numpy as np
import pytest

from vecsmith.forging.page import render
from vecsmith.forging.verdict import MEASURES, Arm, Cost, decide, gate_passes


def arm(name, values, *, kind="dense", model="default", fitted=False, cost=0.1):
    return Arm(name, kind, model, fitted, None, dict.fromkeys(MEASURES, np.asarray(values)), Cost(cost, 0.1, 512))


def noisy(mean, count=400, seed=0):
    return np.clip(np.random.default_rng(seed).normal(mean, 0.1, count), 0, 1)


ARMS = [
    arm("default", noisy(0.3)),
    arm("default, fitted", noisy(0.5, seed=1), fitted=True),
    arm("BM25", noisy(0.6, seed=2), kind="lexical", model=None, cost=0.05),
    arm("default, fitted + BM25", noisy(0.603, seed=3), kind="fused", fitted=True, cost=0.15),
]


def test_the_first_line_says_whose_queries_and_warns_where_they_are_made():
    verdict = decide(ARMS, queries="1,500 queries made from your headings", real_queries=False)
    assert verdict.lines[0].startswith("Judged on 1,500 queries made from your headings. Real queries may rank")
    verdict = decide(ARMS, queries="your 212 judgements", real_queries=True)
    assert verdict.lines[0] == "Judged on your 212 judgements."


def test_preference_decides_only_inside_the_interval():
    by_quality = decide(ARMS, queries="q", real_queries=True, prefer="quality")
    by_speed = decide(ARMS, queries="q", real_queries=True, prefer="speed")
    assert by_quality.winner == by_quality.best
    assert set(by_quality.tied) == {"BM25", "default, fitted + BM25"}
    assert by_speed.winner == "BM25"
    clear = [*ARMS[:3], arm("fused", noisy(0.8, seed=4), kind="fused", cost=9.0)]
    assert decide(clear, queries="q", real_queries=True, prefer="speed").winner == "fused"


def test_costs_that_the_clock_cannot_tell_apart_go_to_the_simpler_arm():
    arms = [arm("a", noisy(0.5), cost=1.1), arm("a + BM25", noisy(0.5), kind="fused", cost=1.0)]
    assert decide(arms, queries="q", real_queries=True, prefer="speed").winner == "a"


def test_the_cheaper_arms_are_named_with_what_they_lose():
    clear = [*ARMS[:3], arm("big", noisy(0.8, seed=4), model="big", cost=30.0)]
    lines = decide(clear, queries="q", real_queries=True).lines
    assert any(line.startswith("Cheaper: BM25 prepares documents 600 times faster, at nDCG@10 -0.2") for line in lines)


@pytest.mark.parametrize(("shift", "word", "better", "not_worse"), [
    (0.2, "Yes", True, True), (0.0, "Too small to tell", False, True), (-0.2, "No, it made it worse", False, False)
])  # fmt: skip
def test_fitting_and_its_gates(shift, word, better, not_worse):
    start = noisy(0.4)
    change = np.random.default_rng(9).normal(shift, 0.05, len(start))
    change += shift - change.mean()
    arms = [arm("default", start), arm("default, fitted", start + change, fitted=True)]
    verdict = decide(arms, queries="q", real_queries=True)
    assert verdict.lines[1].startswith(f"Did fitting default help? {word}: nDCG@10 {shift:+.3f}")
    assert gate_passes(verdict, "better") is better
    assert gate_passes(verdict, "not-worse") is not_worse


def test_few_queries_are_too_small_to_tell_whatever_they_say():
    arms = [arm("default", np.full(12, 0.1)), arm("default, fitted", np.full(12, 0.9), fitted=True)]
    verdict = decide(arms, queries="12 queries", real_queries=False)
    assert "Too small to tell" in verdict.lines[1]
    assert "Too small to tell the arms apart (12 queries)" in verdict.lines[2]
    assert not gate_passes(verdict, "better")


def test_one_query_still_gives_a_verdict():
    verdict = decide([arm("default", np.array([1.0]))], queries="1 query", real_queries=False)
    assert verdict.winner == "default"
    assert not verdict.enough


REPORT = {
    "vecsmith": "0", "date": "2026-01-01", "source": {"name": "<script>alert(1)</script>", "words": "3 files"},
    "judged": "j", "left_out": ["x"], "done": ["read"], "next": "vecsmith search", "gains": [], "map": None,
    "disagreements": [{"query": "<img src=x>", "document": "d", "text": "</td>", "ranks": {"BM25": None, "a": 3}}],
    "examples": [{"query": "q", "where": "a = 'b'", "hits": [{"id": "<b>", "score": 0.5, "snippet": "<i>"}]}],
}  # fmt: skip


def test_the_page_escapes_every_text_runs_no_script_and_loads_nothing():
    verdict = decide(ARMS, queries="q <q>", real_queries=True)
    report = {**REPORT, "verdict": verdict.to_json(), "arms": verdict.summary}
    report["gains"] = [{"title": "t <t>", "of": "a", "against": "b", "differences": [0.5, -0.1, 0.0]}]
    report["map"] = {"points": [[0, 0, 0], [1, 2, 1]], "groups": ["<g>"], "explained": 0.5, "model": "m"}
    page = render(report)
    for raw in ("<script", "<img", "<b>", "<i>", "<g>", "<t>", "<q>", "http://", "https://", "javascript:"):
        assert raw not in page.replace('xmlns="http://www.w3.org/2000/svg"', ""), raw
    assert "default-src 'none'" in page
    assert "&lt;script&gt;" in page
