"""Tables of all formats: what comes out of them, and what is said about a faulty one."""

import csv
import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.read import read
from vecsmith.data.readers.table_formats import read_delimited, read_json_lines
from vecsmith.data.readers.tables import TableRow, read_table
from vecsmith.errors import DataError, LimitExceeded, UsageError

ROWS = [
    {"question": "reset?", "answer": "Hold the button.", "year": 2024, "product": "router"},
    {"question": "off?", "answer": 'Say "stop",\nthen pull the plug.', "year": 2023, "product": "lamp"},
]


def write(path, content):
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def as_csv(rows, **options):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n", **options)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def as_json_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_parquet(rows):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


WRITERS = {"csv": as_csv, "jsonl": as_json_lines, "parquet": as_parquet}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("format", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path, format, packed):
    path = write(tmp_path / f"faq.{format}{packed}", WRITERS[format](ROWS))
    table = read_table(path, attributes=["year", "product"])
    years = (lambda year: str(year)) if format == "csv" else (lambda year: year)
    expected = [
        TableRow(
            number,
            (row["answer"],),
            row["question"],
            attributes={"year": years(row["year"]), "product": row["product"]},
        )
        for number, row in enumerate(ROWS, 1)
    ]
    assert list(table) == expected
    assert list(table) == expected  # as often as you like
    assert table.kind == "retrieval"


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=6))
def test_any_quoted_csv_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write(path, as_csv([dict(zip("abc", row, strict=True)) for row in rows], quoting=csv.QUOTE_ALL))
    assert [list(cells.values()) for _, cells in read_delimited(path)] == rows


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.lists(cells.filter(lambda cell: not set("\t\n") & set(cell)), min_size=2, max_size=2), min_size=1)
)
def test_any_plain_tsv_comes_back_quotes_and_all(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tsv") / "t.tsv"
    write(path, "a\tb\n" + "".join("\t".join(row) + "\n" for row in rows))
    assert [list(cells.values()) for _, cells in read_delimited(path, quoting=False)] == rows


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.dictionaries(cells, cells | st.none() | st.integers() | st.lists(cells)), min_size=1))
def test_any_json_lines_come_back(tmp_path_factory, rows):
    path = write(tmp_path_factory.mktemp("jsonl") / "t.jsonl", as_json_lines(rows))
    assert list(read_json_lines(path)) == list(enumerate(rows, 1))


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("format", WRITERS)
def test_only_a_line_feed_ends_a_line(tmp_path, format, mark):
    rows = [{"query": f"a{mark}b", "document": f"c{mark}d"}]
    (row,) = read_table(write(tmp_path / f"t.{format}", WRITERS[format](rows)))
    assert (row.query, row.documents) == (f"a{mark}b", (f"c{mark}d",))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_byte_order_mark_both_line_ends_and_empty_lines_are_no_content(tmp_path, name, ending):
    mark = "," if name == "t.csv" else "\t"
    lines = ["\ufeffquery,document", "a,b", "", "c,d"]
    (tmp_path / name).write_bytes(ending.join(lines).replace(",", mark).encode())
    rows = list(read_table(tmp_path / name))
    assert [(row.row, row.query, row.documents) for row in rows] == [(1, "a", ("b",)), (2, "c", ("d",))]


def test_whole_surrogate_pairs_in_json_are_text(tmp_path):
    path = write(tmp_path / "t.jsonl", '{"query": "\\ud83d\\ude00", "document": "\\uD83D\\uDE00"}')
    assert next(iter(read_table(path))).documents == ("\U0001f600",)


def test_quotes_in_a_tsv_are_characters_unless_it_can_only_be_read_with_them(tmp_path):
    plain = write(tmp_path / "plain.tsv", 'query\tdocument\nq\t"whom he called, "the witness", said\nr\t"all of it"\n')
    assert [row.documents[0] for row in read_table(plain)] == ['"whom he called, "the witness", said', '"all of it"']
    quoted = write(tmp_path / "quoted.tsv", 'query\tdocument\nq\t"one\tcell\nover two lines"\n')
    assert [row.documents[0] for row in read_table(quoted)] == ["one\tcell\nover two lines"]
    header = write(tmp_path / "header.tsv", '"query"\t"document"\n"q"\t"d"\n')
    assert [row.documents[0] for row in read_table(header)] == ["d"]


@pytest.mark.parametrize("mark", [";", "|", "\t"])
def test_a_csv_with_another_delimiter_is_read(tmp_path, mark):
    path = write(tmp_path / "t.csv", f"query{mark}document\na{mark}b, c\n")
    assert next(iter(read_table(path))).documents == ("b, c",)


FAULTS = [
    ("missing file", "t.csv", None, r"t\.csv: no such file"),
    ("empty", "t.csv", b"", r"t\.csv: the file is empty"),
    ("header only", "t.csv", b"query,document\n", "a header but no rows"),
    ("no rows", "t.jsonl", b"\n\n", "no rows"),
    ("binary", "t.csv", b"query,document\n\0\1\2", r"binary file \(NUL bytes\)"),
    ("zip", "t.csv", b"PK\x03\x04...", "a zip archive"),
    ("utf-16", "t.csv", "query,document\na,b\n".encode("utf-16"), "UTF-16 text; convert it"),
    ("no gzip", "t.csv.gz", b"query,document\n", r"ends in \.gz, but this is no gzip file"),
    ("latin", "t.csv", b"query,document\na,b\ncaf\xe9,d\n",
     r'row 2: byte 22 is 0xe9, which is not UTF-8; as Windows-1252 it would read "café,d"'),
    ("ragged", "t.csv", b"query,document\na,b\nc\n", r"row 2: 1 cells where the header has 2 \(query, document\)"),
    ("ragged tsv", "t.tsv", b"query\tdocument\na\tb\tc\n", "row 1: 3 cells where the header has 2"),
    ("open quote", "t.csv", b'query,document\na,"b\nc,d\n',
     r"row 1: line 3: unexpected end of data; .* quoting=False"),
    ("no name", "t.csv", b"query,,document\na,b,c\n", "column 2 of the header has no name"),
    ("twice", "t.csv", b"query,query\na,b\n", 'column "query": this name stands twice'),
    ("bad json", "t.jsonl", b'{"query": "a", "document": "b"}\n{"query": \n', "row 2: no JSON"),
    ("no object", "t.jsonl", b"[1]\n", "row 1: a JSON list; each line holds one object"),
    ("deep json", "t.jsonl", b"[" * 100_000, "row 1: no JSON"),
    ("half a pair", "t.jsonl", b'{"query": "a", "document": "b", "group": ["c", "\\ud83d"]}\n',
     r'row 1, column "group": an escape \(\\ud83d\) that is half of a surrogate pair'),
    ("no parquet", "t.parquet", b"query,document\n", "no parquet file"),
    ("empty text", "t.csv", b"query,document\na,b\nc, \n", r'row 2, column "document": empty; .* on_empty="skip"'),
    ("empty query", "t.jsonl", b'{"query": null, "document": "b"}\n', 'row 1, column "query": empty'),
    ("no text", "t.jsonl", b'{"query": "a", "document": 5}\n',
     r'row 1, column "document": a number \(5\); a text was expected'),
    ("NaN", "t.csv", b"query,document,score\na,b,0.5\nc,d,nan\n",
     "row 2, column \"score\": 'nan'; a score is a finite number"),
    ("json NaN", "t.jsonl", b'{"query": "a", "document": "b", "score": NaN}\n',
     'row 1, column "score": nan; a score is'),
    ("no score", "t.csv", b"query,document,score\na,b,\n",
     'row 1, column "score": empty; a score is a finite number'),
    ("score scale", "t.csv", b"query,document,score\na,b,4.5\n",
     r"4.5 is outside 0 to 1; say the scale: score_range=\(0, 5\)"),
    ("empty id", "t.csv", b"id,text\n,b\n", 'row 1, column "id": empty; an id is text or a whole number'),
    ("undeclared", "t.csv", b"query,document,venue,year\na,b,c,1\n",
     r'column "venue": neither declared nor recognised \(and year\)\. Keep it for filters:'
     r' attributes=\["venue", "year"\], --attributes venue,year; or leave it out: ignore='),
    ("no document", "t.csv", b"query\na\n", r"no column is recognised as the text \(query\)"),
    ("words as label", "t.csv", b"premise,hypothesis,label\na,b,neutral\n", r'column "label": holds words'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "words"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_a_faulty_table_is_named_with_its_place(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        list(read_table(path))
    assert str(caught.value).startswith(str(path))
    assert str(caught.value.file) == str(path)


def test_a_cut_gzip_file_is_damaged(tmp_path):
    lines = "".join(f"a{random.random()},b\n" for _ in range(500))
    packed = gzip.compress(f"query,document\n{lines}".encode())
    (tmp_path / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="damaged gzip file"):
        list(read_table(tmp_path / "t.csv.gz"))


def test_a_misspelt_file_name_finds_its_neighbour(tmp_path):
    write(tmp_path / "faq.csv", "query,document\na,b\n")
    with pytest.raises(DataError, match=r"no such file; did you mean faq\.csv\?"):
        read_table(tmp_path / "fap.csv")


@pytest.mark.parametrize(
    ("name", "words"), [("t.json5", "no table format"), ("t.xlsx", r"known: \.csv, \.tsv"), ("t", "no table format")]
)
def test_an_unknown_ending_names_those_that_are_known(tmp_path, name, words):
    with pytest.raises(DataError, match=words):
        read_table(write(tmp_path / name, "[]"))


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("vecsmith.data.readers.table_lines.LONGEST_LINE", 1000)
    with pytest.raises(LimitExceeded, match=r"t\.csv\.gz, line 2: longer than"):
        list(read_table(write(tmp_path / "t.csv.gz", "query,document\n" + "a" * 5000)))


def test_a_cell_longer_than_the_csv_modules_own_limit_is_read(tmp_path):
    path = write(tmp_path / "t.csv", f'query,document\na,"{"b" * 200_000}"\n')
    assert len(next(iter(read_table(path))).documents[0]) == 200_000


def test_where_it_is_asked_for_empty_rows_are_skipped_and_counted_but_documents_stay(tmp_path):
    table = read_table(write(tmp_path / "t.csv", "query,document\na,b\n,c\nd,\ne,f\n"), on_empty="skip")
    assert [(row.row, row.query, row.documents) for row in table] == [
        (1, "a", ("b",)),
        (2, None, ("c",)),
        (4, "e", ("f",)),
    ]
    assert (table.skipped, table.without_query) == (1, 1)


def test_a_column_that_comes_late_is_named_with_its_row(tmp_path):
    rows = [{"query": "a", "document": "b"}] * 1500
    path = write(tmp_path / "t.jsonl", as_json_lines([*rows, {"query": "a", "document": "b", "venue": "c"}]))
    with pytest.raises(
        DataError, match=r'row 1501, column "venue": neither declared nor recognised\. Keep it for filters'
    ):
        list(read_table(path))


@pytest.mark.parametrize("role", ["attributes", "ignore"])
def test_a_star_takes_columns_that_come_late(tmp_path, role):
    rows = [{"query": "a", "document": "b", "year": 1}] * 1500
    path = write(tmp_path / "t.jsonl", as_json_lines([*rows, {"query": "a", "document": "c", "added": "2024-01-05"}]))
    last = list(read_table(path, **{role: "*"}))[-1]
    data = read(path, **{role: "*"})
    if role == "ignore":
        assert last.attributes == {}
        assert data.documents.attributes == {}
    else:
        assert last.attributes == {"year": None, "added": "2024-01-05"}
        assert data.documents.attributes == {"year": pa.int64(), "added": pa.timestamp("us", tz="UTC")}


def test_negatives_that_come_late_are_negatives(tmp_path):
    rows = [{"query": "a", "document": "b", "negative_1": "x"}] * 1500
    path = write(tmp_path / "t.jsonl", as_json_lines([*rows, {"query": "a", "document": "b", "negative_2": "y"}]))
    assert list(read_table(path))[-1].negatives == ("y",)


def test_scores_are_brought_to_0_to_1(tmp_path):
    path = write(tmp_path / "t.csv", "sentence1,sentence2,score\na,b,1\nc,d,5\ne,f,2\n")
    assert [row.score for row in read_table(path, score_range=(1, 5))] == [0.0, 1.0, 0.25]


@pytest.mark.parametrize(
    ("header", "row", "kind"),
    [
        ("question,answer", "a,b", "retrieval"),
        ("title,abstract", "a,b", "retrieval"),
        ("anchor,positive,negative", "a,b,c", "retrieval"),
        ("sentence1,sentence2", "a,b", "pair"),
        ("sentence1,sentence2,label", "a,b,0.3", "scored"),
        ("question,sentence,label", "a,b,1", "scored"),
        ("label,text", "sports,b", "class"),
        ("text", "b", "plain"),
    ],
)
def test_the_kind_of_the_records_follows_from_the_columns(tmp_path, header, row, kind):
    table = read_table(write(tmp_path / "t.csv", f"{header}\n{row}\n"))
    assert table.kind == kind
    assert len(list(table)) == 1


def test_arguments_that_name_nothing_are_usage_errors(tmp_path):
    path = write(tmp_path / "t.csv", "query,document\na,b\n")
    for wrong in ({"on_empty": "drop"}, {"score_range": (1, 1)}, {"format": "xml"}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            read_table(path, **wrong)
