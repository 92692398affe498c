"""Head, judges, intervals, verdicts and pages of the replications."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replications.bench.bed import LIST
from replications.bench.docs import ID_BYTES, as_doc
from replications.bench.head import Head, Phase, apply_head, train_head
from replications.bench.interval import seeds_and_queries
from replications.bench.job import SECONDS, Job, Outcome
from replications.bench.judge import class_gap, list_ndcg, list_order, nearest_class, rank_of_own, reciprocal_rank
from replications.bench.page import index_page, page, table
from replications.bench.picture import dots_chart
from replications.bench.run import FOLDER, keys, replicate
from replications.bench.verdict import judge, read_config
from vecsmith.data.dataset import Dataset
from vecsmith.data.readers.docstrings import Docstring
from vecsmith.errors import RecipeError, UsageError


def units(rows, width, seed=0):
    found = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_the_committed_list_holds_ids_of_5500_and_2530_docstrings_and_no_text():
    packages = json.loads(LIST.read_text())["packages"]
    for side, wanted in (("train", 5_500), ("test", 2_530)):
        ids = [(name, each["version"]) for name, each in packages.items() for _ in range(len(each[side]) // 12)]
        assert len(ids) == wanted
        assert all(set(each[side]) <= set("0123456789abcdef") for each in packages.values())
    assert LIST.stat().st_size < 400_000


def test_no_docstring_stands_on_both_sides():
    for each in json.loads(LIST.read_text())["packages"].values():
        sides = [{each[s][at : at + 2 * ID_BYTES] for at in range(0, len(each[s]), 12)} for s in ("train", "test")]
        assert not sides[0] & sides[1]


def test_a_docstring_becomes_words_summary_and_body():
    text = "Return the mean of all rows.\n\nRows without a weight count once, as they do elsewhere."
    doc = as_doc(Docstring("a.b.row_mean", text, "row_mean", "b", "a", "a.b", "function"))
    assert (doc.words, doc.summary, doc.package) == ("row mean", "Return the mean of all rows.", "a")
    assert doc.body.startswith("Rows without")
    assert as_doc(Docstring("a.b.row_mean", "Mean.", "row_mean", "b", "a", "a.b", "function")) is None


def test_a_new_head_changes_nothing_and_a_trained_one_learns():
    width, things = 16, 96
    queries, documents = units(things, width, 1), units(things, width, 2)
    with Dataset.build(name="toy") as builder:
        for number in range(things):
            builder.add_record(query=f"query {number}", positives=[f"document {number}"])
        data = builder.finish()
    places = {f"query {n}": queries[n] for n in range(things)} | {f"document {n}": documents[n] for n in range(things)}
    vectors = np.stack([places[text] for text in data.inputs["text"].to_pylist()])
    assert np.allclose(apply_head(Head(width), queries), queries, atol=1e-6)
    phase = Phase([data], [vectors], {"retrieval": [{"info_nce": {}}]}, steps=150, rows=32)
    head = train_head([phase], seed=1)
    before = reciprocal_rank(queries, documents).mean()
    after = reciprocal_rank(apply_head(head, queries), apply_head(head, documents)).mean()
    assert after > before + 0.3
    again = train_head([phase], seed=1)
    assert all(torch.equal(one, two) for one, two in zip(head.parameters(), again.parameters(), strict=True))


def test_shares_of_a_phase_are_parts_of_its_batches():
    sets = []
    for name, count in (("large", 200), ("small", 40)):
        with Dataset.build(name=name) as builder:
            for number in range(count):
                builder.add_record(query=f"{name} q {number}", positives=[f"{name} d {number}"])
            sets.append(builder.finish())
    seen = []
    vectors = [units(data.inputs.num_rows, 8) for data in sets]
    phase = Phase(sets, vectors, {"retrieval": [{"info_nce": {}}]}, steps=60, rows=10, shares=[0.25, 0.75])
    train_head([phase], seed=0, on_step=lambda step, batch, loss, head: seen.append(int(batch.dataset[0])))
    assert abs(np.mean(seen) - 0.75) < 0.1


@given(seed=st.integers(0, 100))
def test_ranks_agree_with_sorting(seed):
    queries, documents = units(12, 5, seed), units(12, 5, seed + 1)
    for row, rank in enumerate(rank_of_own(queries, documents)):
        order = sorted(range(12), key=lambda other: -float(queries[row] @ documents[other]))
        assert order.index(row) + 1 == rank


def test_a_list_in_the_teachers_order_has_ndcg_1_and_all_pairs_right():
    gains = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    assert np.allclose(list_ndcg(gains * 7 + 1, gains), 1.0)
    assert np.allclose(list_order(gains, gains), 1.0)
    assert np.allclose(list_order(-gains, gains), 0.0)
    # by hand: gains 1, 0 in the wrong order give 1/log2(3) of 1
    assert np.allclose(list_ndcg(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])), 1 / np.log2(3))


def test_classes_that_lie_apart_have_a_gap_and_are_found():
    vectors = np.repeat(np.eye(2, 4, dtype=np.float32), 10, axis=0)
    classes = np.repeat([0, 1], 10)
    assert np.allclose(class_gap(vectors, classes), 1.0)
    assert nearest_class(vectors, classes, vectors, classes, k=5).all()


def test_the_interval_of_one_seed_and_query_count_is_that_of_a_bootstrap():
    rng = np.random.default_rng(0)
    same = rng.normal(0.1, 1.0, 400)
    found = seeds_and_queries(np.stack([same, same, same]))
    half = 1.96 * same.std() / np.sqrt(400)
    assert found.mean == pytest.approx(same.mean())
    assert found.low == pytest.approx(same.mean() - half, abs=0.02)
    assert found.high == pytest.approx(same.mean() + half, abs=0.02)


def test_seeds_that_differ_widen_the_interval():
    same = np.random.default_rng(0).normal(0.0, 0.1, 300)
    narrow = seeds_and_queries(np.stack([same, same, same]))
    wide = seeds_and_queries(np.stack([same - 1, same, same + 1]))
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    assert wide.mean == pytest.approx(narrow.mean)


def test_an_arm_is_computed_once_and_kept(tmp_path):
    calls = []
    job = Job("x", [1], tmp_path)
    for _ in range(2):
        found = job.arm("plain", 1, lambda: calls.append(1) or {"mrr": np.array([0.5, 1.0]), "gap": 0.25})
    assert len(calls) == 1
    assert found["mrr"].tolist() == [0.5, 1.0]
    assert float(found["gap"]) == 0.25
    assert SECONDS in found
    assert Job("x", [1], tmp_path, quick=True).folder != job.folder


CONFIG = """
row = 6
key = "x"
paper = "X"
claim = "better"
baseline = "plain"
open = ["much"]

[headline]
words = "new less plain"
arm = "new"
against = "plain"
metric = "mrr"

[[check]]
name = "not worse"
kind = "not worse"
accept = "at least -0.005"
arm = "new"
against = "plain"
metric = "mrr"
at_least = -0.005

[[check]]
name = "mechanism"
kind = "mechanism"
accept = "above 0 for each seed"
value = "mass"
each_seed_at_least = 0.1
"""


def outcome(gain, mass=(1.0, 2.0, 3.0)):
    plain = [{"mrr": np.random.default_rng(seed).random(200) * 0.5} for seed in range(3)]
    new = [{"mrr": each["mrr"] + gain + np.random.default_rng(9).normal(0, 0.02, 200)} for each in plain]
    return Outcome({"plain": plain, "new": new}, {"mass": list(mass)}, {"other": False})


@pytest.mark.parametrize(
    ("gain", "mass", "verdict"),
    [
        (0.05, (1, 2, 3), "shown"),
        (0.05, (1, 0, 3), "not shown at this scale"),
        (0.0, (1, 2, 3), "not shown at this scale"),
        (-0.05, (1, 2, 3), "contradicted"),
    ],
)
def test_the_verdict_follows_from_interval_and_checks(tmp_path, gain, mass, verdict):
    (tmp_path / "config.toml").write_text(CONFIG)
    passed = judge(read_config(tmp_path / "config.toml"), outcome(gain, mass))
    assert passed.verdict == verdict
    assert passed.checks[1]["passed"] == (min(mass) >= 0.1)


def test_a_check_of_the_claim_that_contradicts_it_decides(tmp_path):
    check = '[[check]]\nname = "the other way"\nkind = "claim"\naccept = "above 0"\n'
    check += 'arm = "plain"\nagainst = "new"\nmetric = "mrr"\nabove = 0.0\n'
    (tmp_path / "config.toml").write_text(CONFIG + check)
    passed = judge(read_config(tmp_path / "config.toml"), outcome(0.05))
    assert passed.verdict == "contradicted"
    assert passed.deciding.high < 0 < passed.headline.low
    assert passed.words == "the other way: plain less new, mrr"


def test_a_claim_of_not_worse_is_contradicted_only_below_its_margin(tmp_path):
    for margin, verdict in ((0.0, "contradicted"), (0.2, "shown")):
        text = CONFIG.replace('metric = "mrr"\n\n', f'metric = "mrr"\nmargin = {margin}\n\n', 1)
        (tmp_path / "config.toml").write_text(text.replace("at_least = -0.005", "at_least = -0.1"))
        assert judge(read_config(tmp_path / "config.toml"), outcome(-0.05)).verdict == verdict


def test_a_config_with_an_unknown_key_or_kind_is_refused(tmp_path):
    file = tmp_path / "config.toml"
    for text, words in (
        (CONFIG.replace("at_least", "atleast"), 'unknown key "atleast"'),
        (CONFIG.replace('kind = "mechanism"', 'kind = "hope"'), 'kind "hope" is none of'),
        (CONFIG.replace('claim = "better"', ""), '"claim" is missing'),
    ):
        file.write_text(text)
        with pytest.raises(RecipeError, match=words):
            read_config(file)


def test_every_config_reads_and_names_its_folder():
    assert {"kalm_v2", "peg", "qzhou", "lg_anna", "llm_embedder"} <= set(keys())
    for key in keys():
        assert read_config(FOLDER / key / "config.toml").key == key
        assert (FOLDER / key / "README.md").is_file()


def test_committed_evidence_agrees_with_its_page_and_the_index():
    root = FOLDER.parent
    every = [json.loads(file.read_text()) for file in sorted((root / "src/vecsmith/evidence").glob("*.json"))]
    assert every
    for each in every:
        text = (root / "docs/evidence" / f"{each['key']}.md").read_text()
        assert text == page(each)
        picture = ET.fromstring((root / "docs/evidence" / f"{each['key']}.svg").read_text())
        assert picture.tag.endswith("svg")
        assert each["verdict"] in table(each)
        assert len(set(each["seeds"])) >= 3
        assert all("passed" in check for check in each["checks"])
    assert (root / "docs/evidence/index.md").read_text() == index_page(every)


def test_the_picture_escapes_names():
    text = dots_chart({"a < b": [0.1, 0.2], "c": [0.3, 0.3]}, "c", "x & y")
    assert "a &lt; b" in text
    ET.fromstring(text)


def test_an_unknown_replication_is_named_with_those_that_are_there(tmp_path):
    with pytest.raises(UsageError, match=r'no replication "nothing".*kalm_v2'):
        replicate(Job("nothing", [1], tmp_path))
