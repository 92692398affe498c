"""Comparing vectors and finding causes, on arrays alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.contract.parity import Hypothesis, ParityReport, compare_vectors, explain, verdict_of

NAMES = ["empty", "word", "sentence", "upper", "accents", "long", "query", "document"]


def sample(seed=0, n=len(NAMES), d=12):
    vectors = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def supposed(kind, vectors, words="does it"):
    return Hypothesis(kind, f"it {words}", f"mend {kind}", lambda: vectors)


@given(seed=st.integers(0, 1000), scale=st.one_of(st.floats(0.01, 0.99), st.floats(1.01, 100)))
def test_a_change_of_lengths_alone_is_the_same_direction(seed, scale):
    ours = sample(seed)
    assert verdict_of(ours, ours.copy(), 1e-5) == ("same", 0.0)
    assert verdict_of(ours, ours * np.float32(scale), 1e-5)[0] == "same direction, other length"


def test_rows_hold_cosine_difference_and_lengths_and_zeros_are_equal_to_zeros():
    ours = np.array([[3, 4], [0, 0], [0, 0], [1, 0]], dtype=np.float32)
    theirs = np.array([[4, 3], [0, 0], [1, 0], [0, 0]], dtype=np.float32)
    rows = compare_vectors(ours, theirs, "abcd", {3: "422: no"})
    assert [(row.cosine, row.difference, row.length, row.target_length) for row in rows[:3]] == [
        (pytest.approx(24 / 25), 1.0, 5.0, 5.0),
        (1.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 1.0),
    ]
    assert (rows[3].refused, rows[3].cosine) == ("422: no", None)


def test_the_hypothesis_that_gives_the_target_is_named_with_what_is_left():
    ours, cls = sample(0), sample(1)
    cause = explain(ours, cls + 1e-7, NAMES, [supposed("pooling", sample(2)), supposed("pooling", cls)], tolerance=1e-5)
    assert (cause.kind, cause.words, cause.mend, cause.probes) == (
        "pooling",
        "it does it",
        "mend pooling",
        tuple(NAMES),
    )
    assert 0 < cause.residual < 1e-6


def test_a_hypothesis_with_other_lengths_and_a_rest_of_rounding_says_all_three():
    ours, cls = sample(0), sample(1)
    noise = 0.01 * np.random.default_rng(3).normal(size=cls.shape).astype(np.float32)
    cause = explain(ours, 7 * (cls + noise / 4), NAMES, [supposed("pooling", cls)], tolerance=1e-5)
    assert cause.kind == "pooling"
    assert "it does it; it does not normalise" in cause.words
    assert "the size that bfloat16 makes" in cause.words


def test_of_hypotheses_that_explain_alike_the_first_is_named():
    ours, other = sample(0), sample(1)
    same = [supposed("first", other), supposed("second", other + 1e-9)]
    assert explain(ours, other, NAMES, same, tolerance=1e-5).kind == "first"


def test_a_hypothesis_that_leaves_most_inputs_as_they_are_does_not_explain_rounding_everywhere():
    ours = sample(0)
    theirs = ours + 1e-3 * np.random.default_rng(1).normal(size=ours.shape).astype(np.float32)
    nearly = ours.copy()
    nearly[3] = theirs[3]
    cause = explain(ours, theirs, NAMES, [supposed("tokenizer", nearly)], tolerance=1e-5)
    assert (cause.kind, cause.is_sure) == ("precision", True)
    assert "the size that bfloat16 makes" in cause.words
    assert "--dtype bfloat16" in cause.mend


def test_causes_on_different_inputs_are_put_together():
    ours, prompt, cut = sample(0), sample(0), sample(0)
    prompt[6:] = sample(1)[6:]
    cut[5] = sample(2)[5]
    theirs = prompt.copy()
    theirs[5] = cut[5]
    hypotheses = [supposed("truncation", cut, "cuts"), supposed("prompt", prompt, "forgets")]
    cause = explain(ours, theirs, NAMES, hypotheses, tolerance=1e-5)
    assert cause.words == "it forgets (seen on query, document); it cuts (seen on long)"
    assert cause.probes == ("query", "document", "long")


@pytest.mark.parametrize(
    ("rows", "kind"),
    [([5], "truncation"), ([6, 7], "prompt"), ([3, 4], "tokenizer"), ([0, 1, 2, 3, 4, 5, 6, 7], "model")],
)
def test_without_an_explanation_the_pattern_of_inputs_tells(rows, kind):
    ours, theirs = sample(0), sample(0)
    theirs[rows] = sample(9)[rows]
    cause = explain(ours, theirs, NAMES, [], tolerance=1e-5)
    assert (cause.kind, cause.residual, set(cause.probes)) == (kind, None, {NAMES[row] for row in rows})


def test_near_vectors_everywhere_are_other_weights():
    ours = sample(0)
    near = ours + 0.15 * sample(1)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    assert explain(ours, near, NAMES, [], tolerance=1e-5).kind == "weights"


def test_another_width_is_explained_only_by_a_step_of_that_width():
    ours, wide = sample(0), sample(1, d=20)
    assert explain(ours, wide, NAMES, [supposed("dense", wide)], tolerance=1e-5).kind == "dense"
    cause = explain(ours, wide, NAMES, [supposed("pooling", ours)], tolerance=1e-5)
    assert (cause.kind, cause.words) == (
        "model",
        "another model: vectors of 20 components where the model has 12; no step of it has that width",
    )


def test_a_report_is_a_table_of_80_columns_and_plain_values():
    ours, theirs = sample(0), sample(1)
    cause = explain(
        ours, theirs, NAMES, [supposed("pooling", theirs, "takes " + "a long way round " * 8)], tolerance=1e-5
    )
    rows = compare_vectors(ours, theirs, NAMES, {0: "422: " + "no " * 40})
    report = ParityReport("model", "target", "different", tuple(rows), 1e-5, 0.9, (12, 12), cause, ("a note",))
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("verdict: different; largest difference 9.0e-01, allowed 1e-05") for line in lines)
    assert any(line.startswith("cause:   pooling: it takes") for line in lines)
    told = report.to_dict()
    assert told["probes"][1]["name"] == "word"
    assert told["cause"]["kind"] == "pooling"
    assert told["probes"][0]["cosine"] is None
