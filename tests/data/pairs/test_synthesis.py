"""Synthesis with a stub that answers by a rule: schema, keys, deduplication, resuming, what never gets through."""

import json
import re

import numpy as np
import pytest

from vecsmith.data.columns import RecordColumns, input_keys
from vecsmith.data.dataset import Dataset
from vecsmith.data.pairs.answers import BadAnswer, Unavailable, is_looping
from vecsmith.data.pairs.prompts import load_prompts
from vecsmith.data.pairs.synthesis import first_messages, synthesise
from vecsmith.errors import Damaged, DataError, Locked, UsageError

PASSAGES = [f"Passage {number} tells how device {number} is reset." for number in range(6)]


def tiny() -> Dataset:
    with Dataset.build(name="tiny") as builder:
        for number, passage in enumerate(PASSAGES):
            builder.add_document(f"d{number}", passage, split="train")
            builder.add_record(query=f"reset device {number}", positives=[passage], split="train")
        builder.add_record(query="reset device 0", positives=["Device 0 has a button for it."], split="train")
        return builder.finish()


def material(messages) -> str:
    return messages[1]["content"].split("---")[1].strip()


def stub(messages) -> str:
    """A deterministic language model: the last line of what it is asked decides what it answers."""
    asked, about = messages[1]["content"].rsplit("Answer:", 1)[1], material(messages)
    if "paraphrases" in asked:
        return json.dumps(
            {"paraphrases": [f"In other words: {about}", about, f"In other words: {about}", f"So: {about}"]}
        )
    if "pairs" in asked:
        number = re.search(r"device (\d+)", about).group(1)
        return json.dumps({"pairs": [{"query": f"clean device {number}", "passage": f"Wipe device {number} dry."}]})
    if "negatives" in asked:
        passage = about.split("Passage: ")[1]
        return json.dumps(
            {"negatives": [passage, "Device 0 has a button for it.", f"Near {passage}", f"Near {passage}"]}
        )
    if "queries" in asked:
        number = re.search(r"device (\d+)", about).group(1)
        return f'```json\n{{"queries": ["how is device {number} reset", "nothing finds this"]}}\n```'
    return json.dumps({"best": 1, "negative": 2})


def search(texts, k):
    """Finds the passage of the number in the text; else the last passage."""
    rows = [[2 * int(found.group(1)) if (found := re.search(r"device (\d+)", text)) else 10] for text in texts]
    return np.array(rows)[:, :k], np.ones((len(texts), 1))


def named(dataset):
    records = dataset.records.to_pylist()
    return [(dataset.text(r["query"]), dataset.texts(r["positives"]), dataset.texts(r["negatives"])) for r in records]


def test_paraphrases_share_the_key_of_their_source_and_are_no_negatives_of_it():
    data = tiny()
    made, report = synthesise(data, "paraphrase", stub, model="stub", side="document")
    assert report.made == {"paraphrases": 14}
    assert (report.asked, report.answered, report.requests) == (7, 7, 7)
    keys = input_keys(made.inputs)
    text = f"In other words: {PASSAGES[2]}"
    row, source = made.inputs["text"].to_pylist().index(text), made.inputs["text"].to_pylist().index(PASSAGES[2])
    assert keys[row] == keys[source]
    assert len(made.inputs) == len(data.inputs) + 14
    columns = RecordColumns(made)
    known = columns.known(columns.query[[2]], np.array([row, source]))
    assert known.tolist() == [[0, 0], [0, 1]]


def test_a_paraphrase_of_a_paraphrase_shares_the_first_key(tmp_path):
    once, _ = synthesise(tiny(), "paraphrase", stub, model="stub", count=1)
    saved = once.save(tmp_path / "once")
    twice, _ = synthesise(
        saved, "paraphrase", lambda m: stub(m).replace("In other", "In still other"), model="b", count=1
    )
    keys, texts = input_keys(twice.inputs), twice.inputs["text"].to_pylist()
    first = keys[texts.index("reset device 1")]
    assert sum(key == first for key in keys) == 3


@pytest.mark.parametrize("step", ["paraphrase", "augment", "hard-negatives", "queries", "relabel"])
@pytest.mark.parametrize("concurrency", [1, 5])
def test_no_negative_has_the_key_of_a_positive_and_nothing_stands_twice(step, concurrency):
    made, report = synthesise(tiny(), step, stub, model="stub", search=search, concurrency=concurrency)
    keys = input_keys(made.inputs)
    answers: dict[int, set[int]] = {}
    for record in made.records.to_pylist():
        answers.setdefault(keys[record["query"]], set()).update(keys[record["positives"]])
    for record in made.records.to_pylist():
        negatives = keys[record["negatives"]].tolist()
        assert not answers[keys[record["query"]]] & {*negatives}
        assert keys[record["query"]] not in negatives
        assert len({*negatives}) == len(negatives)
    digests = made.inputs["content"].to_pylist()
    assert len({*digests}) == len(digests)
    assert report.answered == report.asked
    if concurrency > 1:
        again, _ = synthesise(tiny(), step, stub, model="stub", search=search, concurrency=1)
        assert named(again) == named(made)


def test_hard_negatives_equal_to_any_known_answer_are_left_out():
    made, _ = synthesise(tiny(), "hard-negatives", stub, model="stub")
    assert named(made)[0][2] == [f"Near {PASSAGES[0]}"]
    assert named(made)[1][2] == ["Device 0 has a button for it.", f"Near {PASSAGES[1]}"]


def test_queries_that_do_not_find_their_passage_are_dropped_and_counted():
    made, report = synthesise(tiny(), "queries", stub, model="stub", search=search, k=1)
    assert report.made == {"queries": 7}  # device 5 is where "nothing finds this" leads
    assert report.dropped == {"queries that do not find their passage in the first 1": 5}
    assert ("how is device 3 reset", [PASSAGES[3]], []) in named(made)


def test_relabelling_puts_the_best_passage_in_the_place_of_the_positive():
    def chooses(messages):
        content = messages[1]["content"]
        best = int(re.search(r"\[(\d)\] Passage 1 ", content).group(1))
        return json.dumps({"best": best, "negative": 3 - best})

    with Dataset.build(name="d") as builder:
        for passage in PASSAGES[:2]:
            builder.add_document(None, passage)
        builder.add_record(query="reset device 1", positives=[PASSAGES[0]], scores=[0.5])
        builder.add_record(query="reset device one", positives=[PASSAGES[1]])
        data = builder.finish()
    both = lambda texts, k: (np.array([[0, 1]] * len(texts)), np.ones((len(texts), 2)))  # noqa: E731
    made, report = synthesise(data, "relabel", chooses, model="stub", search=both)
    assert named(made)[0] == ("reset device 1", [PASSAGES[1]], [])  # the old positive is no negative
    assert named(made)[1] == ("reset device one", [PASSAGES[1]], [PASSAGES[0]])
    assert report.made == {"positives replaced": 1, "positives kept": 1, "negatives": 1}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I will not.", "no JSON"),
        ("", "empty"),
        ('{"queries": []}', "not as asked"),
        ('{"queries": [1, 2]}', "not as asked"),
        ('{"paraphrases": ["x"]}', "not as asked"),
        (json.dumps({"queries": ["reset it now " * 100]}), "repeats itself"),
        ("reset it now " * 100, "repeats itself"),
        (json.dumps({"queries": [" ".join(map(str, range(4000)))]}), "too long"),
        ("x" * 200_001, "too long"),
        (r'{"queries": ["\ud800"]}', "half of a surrogate pair"),
        ("[" * 100_000, "repeats itself"),
    ],
)
def test_a_bad_answer_is_asked_again_so_often_and_then_counted(answer, reason):
    asked = []
    made, report = synthesise(
        tiny(), "queries", lambda m: asked.append(m) or answer, model="stub", tries=2, limit=3, concurrency=1
    )
    assert report.failed == {reason: 3}
    assert len(asked) == 6
    assert reason in asked[1][-1]["content"]
    assert len(made.records) == len(tiny().records)


def test_a_second_answer_mends_a_bad_first():
    made, report = synthesise(
        tiny(), "queries", lambda m: stub(m) if len(m) > 2 else "Sure!", model="stub", search=search, concurrency=3
    )
    assert report.retried == {"no JSON": 6}
    assert report.failed == {}
    assert report.requests == 12
    assert len(made.records) > len(tiny().records)


def test_a_stopped_run_goes_on_without_asking_twice(tmp_path):
    asked = []

    def stops(messages):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(material(messages))
        return stub(messages)

    file = tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        synthesise(tiny(), "paraphrase", stops, model="stub", answers=file, concurrency=1)
    with open(file, "ab") as half:
        half.write(b'{"key": "12')  # what a kill in the middle of a line leaves
    later = []
    made, report = synthesise(
        tiny(), "paraphrase", lambda m: later.append(material(m)) or stub(m), model="stub", answers=file
    )
    assert (report.reused, report.requests) == (3, 3)
    assert not {*asked} & {*later}
    whole, _ = synthesise(tiny(), "paraphrase", stub, model="stub")
    assert named(whole) == named(made)
    _, again = synthesise(tiny(), "paraphrase", stub, model="another", answers=file)
    assert again.reused == 0


def test_answers_that_another_run_writes_or_that_are_no_answers_are_refused(tmp_path):
    from vecsmith.data.pairs.answer_store import AnswerStore

    with AnswerStore(tmp_path / "a.jsonl"), pytest.raises(Locked, match="another run writes it"):
        AnswerStore(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text("something else\n")
    with pytest.raises(Damaged, match="holds no answers of vecsmith"):
        AnswerStore(tmp_path / "b.jsonl")


def test_an_endpoint_that_says_the_same_to_everything_is_given_up():
    with pytest.raises(DataError, match="8 different requests in a row the same answer"):
        with Dataset.build(name="many") as builder:
            for number in range(20):
                builder.add_document(None, f"text number {number}")
            data = builder.finish()
        synthesise(data, "queries", lambda m: '{"queries": ["hello"]}', model="stub")


def test_silence_five_times_in_a_row_ends_the_run_and_says_what_is_kept():
    def silent(messages):
        raise Unavailable("503: the server is busy", file="http://host")

    with pytest.raises(DataError, match=r"http://host: 503.*so did 5 requests in a row\. 0 answers are kept"):
        synthesise(tiny(), "queries", silent, model="stub", concurrency=2)


def test_a_refused_request_is_counted_and_not_sent_again(tmp_path):
    def refuses(messages):
        raise BadAnswer("refused by the endpoint", "too long")

    for requests in (2, 0):
        _, report = synthesise(
            tiny(), "queries", refuses, model="stub", limit=1, tries=2, answers=tmp_path / "answers.jsonl"
        )
        assert report.failed == {"refused by the endpoint": 1}
        assert report.requests == requests


def test_the_first_messages_hold_the_material_between_dashes():
    first, second = first_messages(tiny(), "hard-negatives", limit=9)
    assert [message["role"] for message in first] == ["system", "user"]
    assert material(first) == f"Query: reset device 0\n\nPassage: {PASSAGES[0]}"
    assert PASSAGES[1] in second[1]["content"]


def test_prompts_of_a_file_are_checked_and_take_the_place_of_ours(tmp_path):
    file = tmp_path / "prompts.yaml"
    file.write_text('queries: {user: "Ask for {passage}, {count} times: {\\"queries\\": []}"}')
    assert first_messages(tiny(), "queries", prompts=file)[0][-1]["content"].startswith("Ask for Passage 0 tells")
    for words, message in {
        "query: {user: x}": 'no step; did you mean "queries"',
        "queries: {user: x}": "lacks {passage}",
        "queries: {user: '{passage}', temperature: 1}": 'unknown key "temperature"',
        "- x": "a mapping",
        "a: [": "no YAML",
    }.items():
        file.write_text(words)
        with pytest.raises(DataError, match=re.escape(message)):
            load_prompts(file)
    with pytest.raises(UsageError, match="no such file"):
        load_prompts(tmp_path / "absent.yaml")


def test_options_out_of_range_are_refused():
    for options in ({"count": 0}, {"k": 0}, {"limit": 0}, {"side": "both"}, {"tries": 0}, {"concurrency": 0}):
        with pytest.raises(UsageError):
            synthesise(tiny(), "queries", stub, model="stub", **options)
    with pytest.raises(UsageError, match="is no step; known: paraphrase"):
        synthesise(tiny(), "summarise", stub, model="stub")
    with pytest.raises(UsageError, match="needs search="):
        synthesise(tiny(), "relabel", stub, model="stub")


def test_a_text_that_goes_round_in_circles_is_seen_in_scripts_without_spaces_too():
    assert is_looping("東京都に住んでいます" * 10)
    assert not is_looping("".join(chr(0x4E00 + place) for place in range(100)))
