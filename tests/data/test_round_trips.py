"""Whatever is written in a format of others and read again is the same: records, documents, judgements."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vecsmith as vs
from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import normalise
from vecsmith.data.write import write
from vecsmith.errors import DataError, UsageError

ODD = ['"', "''", "a,b", "tab\there", "line\nend", "\r\n", "\r", "\u00e9", "e\u0301", "\U0001f469\u200d\U0001f52c"]
ODD += ["\u202eright", "\u2028", "{}", "\\", "0", "null"]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PLAIN = st.one_of(st.text(CHARACTERS, min_size=1, max_size=12), st.sampled_from(ODD))
TEXT = PLAIN.filter(lambda text: bool(text) and not text.isspace())
STRIPPED = TEXT.map(str.strip).filter(bool)
SCORE = st.sampled_from([0.25, 0.5, 1.0])
SPLIT = st.sampled_from(["train", "dev", "test"])


def content(data):
    """All of a dataset without row numbers, in an order of its own."""
    records = []
    for record in data.records.drop_columns(["dataset"]).to_pylist():
        for name in ("positives", "negatives"):
            record[name] = data.texts(record[name])
        records.append({**record, "query": data.text(record["query"])})
    documents = []
    for each in data.documents:
        kept = {name: value for name, value in each.attributes.items() if value is not None}
        documents.append((each.id, each.text, kept))
    judged = data.judgements()
    return {
        "records": sorted(records, key=repr),
        "documents": sorted(documents, key=repr),
        "judgements": {text: judged.relevance[number] for number, text in enumerate(judged.query_texts)},
    }


FIELDS = st.fixed_dictionaries({"year": st.integers(0, 3000), "tag": st.sampled_from(["x", "y z", "\u00fc"])})


@st.composite
def passages(draw, texts=TEXT, *, own_ids=True, attributes=False):
    """Documents (id, text, attributes); texts may repeat under two ids."""
    found = draw(st.lists(texts, min_size=2, max_size=6))
    ids = [f"d{number}" for number in range(len(found))] if own_ids else [None] * len(found)
    fields = [
        draw(st.fixed_dictionaries({"year": st.integers(0, 3000), "tag": st.sampled_from(["x", "y z", "ü"])}))
        if attributes
        else {}
        for _ in found
    ]
    return list(zip(ids, found, fields, strict=True))


@st.composite
def retrieval(
    draw, *, texts=TEXT, own_ids=True, attributes=False, grades=False, teacher=False, instruction=False, ids=True
):
    """A dataset of retrieval records whose passages are all documents, and all documents passages."""
    documents = draw(passages(texts, own_ids=own_ids, attributes=attributes))
    distinct = list(dict.fromkeys(normalise(text) for _, text, _ in documents))
    queries = draw(st.lists(texts, min_size=1, max_size=4, unique_by=normalise))
    with Dataset.build(name="set") as builder:
        for id, text, fields in documents:
            builder.add_document(id, text, fields)
        for number, query in enumerate(queries):
            order = draw(st.permutations(distinct))
            # The first record names every document, as its positive or its negative.
            cut, end = draw(st.integers(1, len(order))), len(order) if number == 0 else draw(st.integers(1, len(order)))
            positives, negatives = order[:cut], order[cut:end]
            both = [*positives, *negatives]
            builder.add_record(
                query=query,
                positives=positives,
                negatives=negatives,
                id=f"q{number}",
                grades=[draw(st.integers(1, 3)) for _ in positives] if grades else None,
                teacher_scores=draw(st.none() | scores_of(both)) if teacher else None,
                instruction_query=draw(st.none() | texts) if instruction else None,
                split=draw(SPLIT),
            )
        return builder.finish()


def scores_of(passages):
    count = len(passages)
    return st.lists(st.floats(-50, 50, width=32), min_size=count, max_size=count)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A new folder for each example."""
    root, count = tmp_path_factory.mktemp("round"), iter(range(10**9))
    return lambda: root / str(next(count))


def same_after(data, folder, format, packing="", **columns):
    write(data, folder.with_name(folder.name + packing), format=format)
    assert content(vs.read(folder, **columns)) == content(data)


@settings(max_examples=60)
@given(
    data=retrieval(texts=STRIPPED, attributes=True, grades=True, instruction=True),
    packing=st.sampled_from(["", ".gz", ".zst"]),
)
def test_beir_gives_back_documents_grades_and_records(place, data, packing):
    same_after(data, place(), "beir", packing)


@settings(max_examples=60)
@given(data=retrieval(own_ids=False, teacher=True, instruction=True))
def test_flagembedding_gives_back_teacher_scores_and_prompts(place, data):
    same_after(data, place(), "flagembedding")


@settings(max_examples=60)
@given(data=retrieval(texts=STRIPPED))
def test_tevatron_gives_back_the_ids_of_passages(place, data):
    same_after(data, place(), "tevatron", ".xz")


@settings(max_examples=60)
@given(data=retrieval(own_ids=False, instruction=True))
def test_messages_give_back_instructions(place, data):
    same_after(data, place(), "messages", ".bz2")


@st.composite
def pairs(draw, kind):
    weights = st.sampled_from([1.0, 0.5]) if kind == "pair" else st.just(1.0)
    with Dataset.build(name="set") as builder:
        for _ in range(draw(st.integers(1, 5))):
            builder.add_record(
                query=draw(TEXT),
                positives=[draw(TEXT)],
                kind=kind,
                scores=[draw(SCORE)] if kind == "scored" else None,
                split=draw(SPLIT),
                weight=draw(weights),
            )
        return builder.finish()


@st.composite
def triplets(draw, *, attributes):
    """Retrieval records with one positive each; documents have ids and attributes where these are asked for."""
    positives = draw(st.lists(TEXT, min_size=1, max_size=5, unique_by=normalise))
    with Dataset.build(name="set") as builder:
        for number, positive in enumerate(positives):
            fields = {"year": number, "ratio": number + 0.5} if attributes else {}
            builder.add_document(f"d{number}" if attributes else None, positive, fields, group="g")
            builder.add_record(
                query=draw(TEXT), positives=[positive], negatives=draw(st.lists(TEXT, max_size=3)), group="g"
            )
        return builder.finish()


@settings(max_examples=40)
@pytest.mark.parametrize("kind", ["pair", "scored"])
@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet"])
@given(choice=st.data())
def test_tables_give_back_pairs_and_scores(place, format, kind, choice):
    same_after(choice.draw(pairs(kind)), place(), format)


@settings(max_examples=40)
@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet"])
@given(choice=st.data(), attributes=st.booleans())
def test_tables_give_back_triplets_with_attributes(place, format, attributes, choice):
    data = choice.draw(triplets(attributes=attributes))
    path = place().with_suffix(f".{format}.gz")
    write(data, path)
    assert content(vs.read(path, attributes=["year", "ratio"] if attributes else None)) == content(data)


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@given(
    rows=st.lists(
        st.tuples(TEXT, st.sampled_from(["yes", "no", "1"])),
        min_size=1,
        max_size=5,
        unique_by=lambda row: normalise(row[0]),
    )
)
def test_tables_give_back_classes(place, format, rows):
    with Dataset.build(name="set") as builder:
        for text, label in rows:
            builder.add_document(None, text)
            builder.add_record(query=text, label=label, kind="class")
        data = builder.finish()
    path = place().with_suffix(f".{format}")
    write(data, path)
    assert content(vs.read(path)) == content(data)


def one_record(**fields):
    with Dataset.build(name="set") as builder:
        builder.add_document("d1", "yes")
        builder.add_record(query="q", positives=["yes"], **fields)
        return builder.finish()


@pytest.mark.parametrize(
    ("format", "fields", "words"),
    [
        ("beir", {"teacher_scores": [3.0]}, "record 0 has teacher_scores, which the format beir cannot hold"),
        ("tevatron", {"instruction_query": "Find"}, "record 0 has instruction_query"),
        ("flagembedding", {}, 'document "d1" has an id of its own'),
        ("beir", {"kind": "pair"}, 'the kind "pair"'),
        ("jsonl", {"grades": [2.0]}, "record 0 has grades"),
    ],
)
def test_what_a_format_cannot_hold_is_named_or_left_out(tmp_path, format, fields, words):
    data = one_record(**fields)
    with pytest.raises(DataError, match=words):
        write(data, tmp_path / "out", format=format)
    if fields.get("kind") is None:
        write(data, tmp_path / "out", format=format, lossy=True)
        assert [document.text for document in vs.read(tmp_path / "out").documents] == ["yes"]


def test_a_name_without_a_format_is_an_error(tmp_path):
    with pytest.raises(UsageError, match='"out" says no format'):
        write(one_record(), tmp_path / "out")
    with pytest.raises(UsageError, match="known: jsonl, parquet"):
        write(one_record(), tmp_path / "out.csv", format="xml")


def test_several_splits_in_one_file_are_a_column_of_a_table_and_an_error_elsewhere(tmp_path):
    with Dataset.build(name="set") as builder:
        for split in ("train", "test"):
            builder.add_document(None, f"answer {split}", split=split)
            builder.add_record(query=split, positives=[f"answer {split}"], split=split)
        data = builder.finish()
    write(data, tmp_path / "out.csv")
    assert vs.read(tmp_path / "out.csv").splits == ["test", "train"]
    with pytest.raises(UsageError, match=r"several splits \(train, test\)"):
        write(data, tmp_path / "out.jsonl", format="messages", lossy=True)


def test_equal_datasets_are_packed_into_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write(one_record(), tmp_path / f"{name}.jsonl.gz", format="tevatron")
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_real_judgements_come_back(shared_data, tmp_path):
    data = vs.read(shared_data / "dbpedia_entity_sub", on_empty="skip")
    write(data, tmp_path / "out.zst", format="beir")
    again = vs.read(tmp_path / "out")
    assert content(again) == content(data)
    assert {grade for grades in again.judgements().relevance.values() for grade in grades.values()} == {1.0, 2.0}
