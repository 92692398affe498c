"""A source becomes documents and queries: judged texts without what asks for them, served texts whole."""

import gzip
import json
import tracemalloc

import pytest

from vecsmith.data.dataset import Dataset
from vecsmith.data.readers.docstring_packages import package_split
from vecsmith.data.source import open_source, settle_splits
from vecsmith.data.units import FEWEST_GROUPS
from vecsmith.errors import DataError, NotEnoughData, UsageError

SIDES = ["dev", "test", "train"]


def words(text):
    return len(text.split())


def write(source):
    with Dataset.build(name="judged") as judged, Dataset.build(name="served") as served:
        source.write(judged, served)
        return judged.finish(), served.finish()


@pytest.fixture
def folder(tmp_path):
    docs = tmp_path / "docs"
    for number in range(FEWEST_GROUPS + 2):
        (docs / f"part{number % 3}").mkdir(parents=True, exist_ok=True)
        (docs / f"part{number % 3}" / f"page{number}.md").write_text(
            f"Before any heading stands this opening number {number}. A second sentence of page {number} follows.\n\n"
            f"# How page {number} came about\n\nThe story of page {number} is short and was told by others.\n\n"
            f"## Why it stayed number {number}\n\nNobody knows why number {number} stayed as it was for so long.\n"
        )
    return docs


def test_headings_ask_for_what_stands_below_them_and_leave_it(folder):
    judged, served = write(open_source(folder, count_tokens=words))
    whole = {document.id: document for document in served.documents}
    assert set(whole) == set(judged.documents.ids)
    for document in judged.documents:
        text = whole[document.id].text
        heading = document.attributes["heading"]
        if heading:
            assert text == f"{heading}\n{document.text}"
        else:
            assert len(document.text) < len(text)
    file = (folder / "part0" / "page0.md").read_text()
    passage = whole["part0/page0.md#1"]
    assert (
        file[passage.attributes["start"] : passage.attributes["end"]]
        == "The story of page 0 is short and was told by others."
    )
    assert passage.attributes | {"start": 0, "end": 0} == {
        "path": "part0/page0.md",
        "folder": "part0",
        "title": "How page 0 came about",
        "heading": "How page 0 came about",
        "start": 0,
        "end": 0,
    }


@pytest.mark.parametrize("group", ["file", "folder", None])
def test_no_file_stands_on_two_sides(folder, group):
    judged, leaks = settle_splits(write(open_source(folder, count_tokens=words, group=group))[0])
    assert judged.splits == SIDES
    assert not any(leaks.records.values())
    sides = {}
    for document in judged.documents:
        assert sides.setdefault(document.attributes["path"], document.split) == document.split


def test_a_single_file_is_split_through_its_sections(tmp_path):
    sections = [
        f"## Heading number {n} here\n\nThis is what section {n} says about its number {n}.\n" for n in range(40)
    ]
    (tmp_path / "one.md").write_text("\n".join(sections))
    source = open_source(tmp_path / "one.md", count_tokens=words)
    judged, _ = source.settle(write(source)[0])
    assert judged.splits == SIDES
    assert len(judged.split("test").documents) in range(4, 13)


def test_every_query_finds_its_document_by_its_judgements(folder):
    source = open_source(folder, count_tokens=words)
    judged, _ = source.settle(write(source)[0])
    found = judged.split("test").judgements()
    assert len(found.query_texts) > 0
    for query, relevant in found.relevance.items():
        assert relevant
        for identifier in relevant:
            text = next(document.text for document in judged.documents if document.id == identifier)
            assert found.query_texts[query] not in text


def test_code_is_asked_for_by_its_docstring_and_leaves_it_out(tmp_path):
    (tmp_path / "half.py").write_text(
        'def half(number):\n    """Divide a number by exactly two."""\n    return number / 2\n\n\n'
        "def parse_it_all(text):\n    return [int(part) for part in text.split()]\n"
    )
    source = open_source(tmp_path, count_tokens=words)
    judged, served = write(source)
    texts = [document.text for document in judged.documents]
    assert texts[0] == "def half(number): return number / 2"
    assert served.documents[0].text.startswith('def half(number): """Divide')
    queries = judged.texts(judged.records["query"].to_pylist())
    assert queries == ["Divide a number by exactly two.", "parse it all"]
    assert source.describe()["query_words"] == "your docstrings and the words of names"


def test_docstrings_stand_on_the_side_of_their_package():
    source = open_source("docstrings:stdlib", limit=500)
    judged, _ = source.settle(write(source)[0])
    for document in judged.documents:
        assert document.split in (package_split(document.attributes["package"]), "left_out")
        assert document.group == document.attributes["package"]
    assert judged.documents.attributes.keys() == {"package", "kind", "module", "length", "has_example"}
    assert source.describe()["documents"] == 500
    assert source.describe()["query_words"] == "the words of names and summary lines"


def test_a_small_sample_of_docstrings_never_changes_sides():
    source = open_source("docstrings:stdlib", limit=2)
    judged, _ = source.settle(write(source)[0])
    assert all(d.split == package_split(d.attributes["package"]) for d in judged.documents)


@pytest.mark.parametrize(("sides", "splits"), [("fixed", ["train"]), ("dealt", SIDES), ("hashed", SIDES)])
def test_sides_are_dealt_anew_only_where_they_may_be(sides, splits):
    with Dataset.build(name="few") as builder:
        for number in range(6):
            builder.add_document(str(number), f"text {number}", group=f"group {number}", split="train")
        assert settle_splits(builder.finish(), sides=sides)[0].splits == splits


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "faq.csv.gz"
    rows = [f'Question {n}?,"Answer {n}, and more.",{n % 3},shop{n % 20}' for n in range(100)]
    path.write_bytes(gzip.compress("\n".join(["question,answer,year,shop", *rows, "Unanswered?,,1,shop1"]).encode()))
    return path


def test_a_table_gives_its_columns_and_counts_rows_without_text(table):
    source = open_source(table, query="question", document="answer", attributes=["year"], group="shop")
    judged, served = write(source)
    assert not source.cuts
    assert judged.documents.attributes["year"] == "int64"
    assert [d.text for d in judged.documents] == [d.text for d in served.documents]
    description = source.describe()
    assert description["query_words"] == 'your column "question"'
    assert description["notes"] == ["passed over, row without text: 1 (faq.csv.gz)"]
    settled, _ = source.settle(judged)
    sides = {}
    for document in settled.documents:
        assert sides.setdefault(document.group, document.split) == document.split
    assert set(sides.values()) == set(SIDES)


def test_a_title_is_served_with_its_text_and_judged_without(tmp_path):
    path = tmp_path / "papers.jsonl"
    path.write_text("\n".join(json.dumps({"title": f"Title {n}", "abstract": f"Abstract {n}."}) for n in range(30)))
    source = open_source(path)
    judged, served = write(source)
    assert source.cuts
    assert next(iter(judged.documents)).text == "Abstract 0."
    assert next(iter(served.documents)).text == "Title 0\nAbstract 0."


def test_a_table_of_texts_is_asked_by_cut_sentences(tmp_path):
    path = tmp_path / "texts.jsonl"
    text = "This is the first sentence number {0}. And here is the second one of {0}, somewhat longer."
    path.write_text("\n".join(json.dumps({"text": text.format(n)}) for n in range(30)))
    source = open_source(path)
    judged, served = write(source)
    assert judged.records.num_rows == 30
    assert judged.documents.ids == served.documents.ids == [f"texts.jsonl#{row}" for row in range(1, 31)]
    assert all(len(a.text) < len(b.text) for a, b in zip(judged.documents, served.documents, strict=True))
    assert source.describe()["query_words"] == "sentences cut out of your text"


def test_the_description_names_what_was_passed_over(folder):
    (folder / "scan.pdf").write_bytes(b"%PDF")
    (folder / "bad.txt").write_bytes(b"\xff\xfe\xff")
    description = open_source(folder, count_tokens=words).describe()
    assert description["files"] == FEWEST_GROUPS + 2
    assert description["words"] == f"{FEWEST_GROUPS + 2} files, {3 * (FEWEST_GROUPS + 2)} passages"
    assert description["pairs"] == {"heading": 2 * (FEWEST_GROUPS + 2), "sentence": FEWEST_GROUPS + 2}
    assert description["query_words"] == "your headings and sentences cut out of your text"
    assert "passed over, unsupported: .pdf: 1 (scan.pdf)" in description["notes"]
    assert "passed over, wrongly encoded: 1 (bad.txt)" in description["notes"]
    assert json.loads(json.dumps(description)) == description


@pytest.mark.parametrize("count", [9, 10])
def test_a_few_documents_are_written_all_the_same(tmp_path, count):
    for number in range(count):
        (tmp_path / f"{number}.txt").write_text(
            f"This is document number {number} of a few. The second sentence of {number} is this."
        )
    source = open_source(tmp_path, count_tokens=words)
    judged, _ = source.settle(write(source)[0])
    assert len(judged.documents) == count
    assert judged.splits == SIDES


def test_a_source_without_documents_says_what_it_held(tmp_path):
    (tmp_path / "scan.pdf").write_bytes(b"%PDF")
    with pytest.raises(NotEnoughData, match=r"no document found \(passed over, unsupported: .pdf: 1 \(scan.pdf\)\)"):
        write(open_source(tmp_path, count_tokens=words))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"query": "question"}, UsageError, "has no columns: --query is for tables"),
        ({"group": "customer"}, UsageError, 'group "customer" of documents; "file" and "folder" exist'),
        ({"limit": 0}, UsageError, "limit is 0; at least 1"),
        ({"count_tokens": None}, UsageError, "pass count_tokens"),
    ],
)
def test_options_that_do_not_fit_documents_are_named(folder, options, error, message):
    with pytest.raises(error, match=message):
        open_source(folder, **{"count_tokens": words, **options})


def test_sources_that_are_none_are_named(tmp_path, table):
    with pytest.raises(UsageError, match='"docstrings:mars" is no source; "docstrings:stdlib"'):
        open_source("docstrings:mars")
    with pytest.raises(DataError, match="no such file or folder"):
        open_source(tmp_path / "none")
    with pytest.raises(DataError, match='no column "quesion"; did you mean'):
        open_source(table, query="quesion", document="answer")
    with pytest.raises(DataError, match="shop"):
        open_source(table, query="question", document="answer", attributes=["year"])


def test_the_same_source_is_read_the_same_way_twice(folder):
    first, second = (write(open_source(folder, count_tokens=words, seed=3)) for _ in range(2))
    assert [part.fingerprint() for part in first] == [part.fingerprint() for part in second]
    assert write(open_source(folder, count_tokens=words, seed=4))[0].fingerprint() != first[0].fingerprint()


def test_a_larger_limit_keeps_what_a_smaller_one_took(folder):
    small, large = (
        {unit.id for unit in open_source(folder, count_tokens=words, limit=limit).units()} for limit in (10, 20)
    )
    assert len(small) == 10
    assert small < large


def test_reading_takes_memory_for_one_file_not_for_all(tmp_path):
    for number in range(24):
        (tmp_path / f"{number}.txt").write_text(f"These are the words of file {number}, one of them.\n\n" * 1000)
    source = open_source(tmp_path, count_tokens=words, max_tokens=320)
    tracemalloc.start()
    documents = sum(1 for _ in source.units())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert documents == 24 * 32
    assert peak < 900_000  # all files together are 1.2 MB, and twice that as passages
