"""Mining of a dataset: what is never taken, what resumes, what is said; on planted and on real data."""

import json

import numpy as np
import pyarrow as pa
import pytest

import vecsmith as vs
from vecsmith.errors import ContractError, Damaged, DataError, NotEnoughData
from vecsmith.models import mining
from vecsmith.models.encoder import open_encoder
from vecsmith.models.mining import MiningReport, mine_dataset

PAIRS = [
    ("how do I reset the router", "Hold the reset button of the router for ten seconds."),
    ("how do I pay the bill", "Bills are paid with a card or in the app."),
    ("where is the door", "The door is behind the stairs."),
    ("how do I open the door", "Open the door with your card."),
    ("how do I close the account", "Accounts are closed in the app."),
]
PARAPHRASE = "Hold the reset button of the router ten seconds."


def faq(*extra, pairs=PAIRS):
    with vs.Dataset.build(name="faq") as builder:
        for question, answer in pairs:
            builder.add_record(query=question, positives=[answer])
        for number, text in enumerate(extra):
            builder.add_document(f"extra{number}", text)
        return builder.finish()


def negatives(data, row=0):
    return data.texts(data.records["negatives"][row].as_py())


def test_a_planted_paraphrase_of_the_positive_is_taken_by_rank_alone_and_never_with_a_margin():
    data = faq(PARAPHRASE)
    bare = mine_dataset(data, "default", negatives=2, ranks=(0, 5), relative_margin=None)
    report = MiningReport()
    safe = mine_dataset(data, "default", negatives=2, ranks=(0, 5), relative_margin=0.05, report=report)
    assert PARAPHRASE in negatives(bare)
    assert PARAPHRASE not in negatives(safe)
    assert len(negatives(safe)) == 2
    assert report.examples["relative_margin"][0]["document"] == PARAPHRASE


def test_known_positives_and_own_text_are_never_taken_and_scores_are_the_products():
    pairs = [*PAIRS, (PAIRS[0][0], PAIRS[1][1])]  # two records of one query
    data = faq(PAIRS[0][0], pairs=pairs)
    mined = mine_dataset(data, "default", negatives=9, ranks=(0, 20), relative_margin=None)
    assert not {PAIRS[0][0], PAIRS[0][1], PAIRS[1][1]} & set(negatives(mined))
    record, encoder = mined.records.to_pylist()[0], open_encoder("default")
    texts = mined.texts(record["positives"] + record["negatives"])
    expected = encoder.encode_document(texts) @ encoder.encode_query([PAIRS[0][0]])[0]
    assert np.allclose(record["teacher_scores"], expected, atol=1e-5)
    assert record["kind"] == "retrieval"


def test_a_killed_run_goes_on_without_ranking_a_finished_block_again(tmp_path, monkeypatch):
    monkeypatch.setattr(mining, "BLOCK", 2)
    calls, real = [], mining.top_k

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    options = {"negatives": 2, "ranks": (0, 4), "relative_margin": None}
    monkeypatch.setattr(mining, "top_k", dying)
    with pytest.raises(KeyboardInterrupt):
        mine_dataset(faq(), "default", folder=tmp_path, **options)
    again = mine_dataset(faq(), "default", folder=tmp_path, **options)
    assert len(calls) == 4  # blocks 0, 1 (killed), 1, 2
    assert again.records.equals(mine_dataset(faq(), "default", **options).records)
    with pytest.raises((ContractError, DataError)):
        mine_dataset(faq(PARAPHRASE), "default", folder=tmp_path, **options)
    (tmp_path / "ranked-000000.npz").write_bytes(b"x")
    with pytest.raises(Damaged, match="ranked again"):
        mine_dataset(faq(), "default", folder=tmp_path, **options)


class ByLength:
    """A scorer for tests: longer documents answer better."""

    description = {"name": "length", "kind": "cross-encoder"}  # noqa: RUF012

    def __call__(self, pairs):
        return np.array([-1 / len(document) for _, document in pairs])


def test_rescoring_filters_and_keeps_the_scores_of_the_scorer_also_below_zero():
    mined = mine_dataset(faq(), "default", negatives=4, ranks=(0, 5), scorer=ByLength(), relative_margin=0.0)
    record = mined.records.to_pylist()[0]
    lengths = [-1 / len(text) for text in mined.texts(record["positives"] + record["negatives"])]
    assert np.allclose(record["teacher_scores"], lengths)
    assert all(score < lengths[0] for score in lengths[1:])


def test_other_kinds_stay_and_too_little_data_is_said():
    with vs.Dataset.build(name="mixed") as builder:
        builder.add_record(query="a text", kind="plain")
        data = builder.finish()
    with pytest.raises(NotEnoughData, match="no record of kind retrieval"):
        mine_dataset(data, "default")
    alone, report = faq(pairs=PAIRS[:1]), MiningReport()
    mined = mine_dataset(alone, "default", negatives=2, ranks=(0, 9), report=report)
    assert negatives(mined) == []
    assert (report.short, report.negatives) == (1, 0)


def test_a_random_choice_hangs_on_the_seed_and_not_on_the_order_of_records():
    options = {"negatives": 2, "ranks": (0, 4), "relative_margin": None, "choose": "random"}
    here = mine_dataset(faq(), "default", seed=3, **options)
    there = mine_dataset(faq(pairs=PAIRS[::-1]), "default", seed=3, **options)
    assert [sorted(negatives(here, row)) for row in range(5)] == [sorted(negatives(there, 4 - row)) for row in range(5)]


def test_the_command_writes_a_dataset_and_its_report(tmp_path, capsys):
    from vecsmith.cli.main import run

    faq(PARAPHRASE).save(tmp_path / "faq")
    arguments = ["mine", str(tmp_path / "faq"), "--model", "default", "--ranks", "0:5", "--negatives", "2", "--json"]
    assert run([*arguments, "--output", str(tmp_path / "out")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["dropped"]["relative_margin"] >= 1
    assert vs.read(tmp_path / "out").records["teacher_scores"].null_count == 0
    assert json.loads((tmp_path / "out" / "mining_report.json").read_text())["records"] == 5
    assert run([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "--replace" in capsys.readouterr().err


def test_false_negatives_fall_from_ranks_alone_to_a_margin_on_scifact(shared_data):
    data = vs.read(shared_data / "scifact").split("test")
    several = [row for row, found in enumerate(data.records["positives"].to_pylist()) if len(found) > 1]
    if not several:
        pytest.skip("no query of this split has two positives")
    full = data.select(records=several)
    truth = full.records["positives"].to_pylist()
    hidden = full.records.set_column(1, full.records.schema.field(1), pa.array([found[:1] for found in truth]))
    for name in ("scores", "grades"):
        place = hidden.schema.get_field_index(name)
        hidden = hidden.set_column(
            place, hidden.schema.field(name), pa.nulls(len(truth), hidden.schema.field(name).type)
        )
    data = full._with(documents=full._documents, records=hidden)

    def share(**options):
        mined = mine_dataset(data, "default", ranks=(0, 50), **options).records["negatives"].to_pylist()
        wrong = sum(len(set(found) & set(known)) for found, known in zip(mined, truth, strict=True))
        return wrong / max(1, sum(map(len, mined)))

    assert share(relative_margin=0.05) < share(relative_margin=None)
