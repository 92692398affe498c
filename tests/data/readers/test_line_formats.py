"""Files that are no tables by themselves, as rows."""

import pytest

from vecsmith.data.readers.rows import open_rows
from vecsmith.errors import DataError


def rows(path, content, format):
    path.write_text(content, encoding="utf-8")
    return list(open_rows(path, format))


def test_lines_are_texts_and_blank_ones_are_passed_over(tmp_path):
    assert rows(tmp_path / "t.txt", "one\n\n two\r\n", "lines") == [(1, {"text": "one"}), (3, {"text": " two"})]


def test_lists_say_how_long_they_are(tmp_path):
    assert rows(tmp_path / "t.dat", "2 5 7\n0\n", "lists") == [
        (1, {"row": 0, "members": [5, 7]}),
        (2, {"row": 1, "members": []}),
    ]
    with pytest.raises(DataError, match="row 1: says 3 numbers and has 2"):
        rows(tmp_path / "t.dat", "3 5 7\n", "lists")
    with pytest.raises(DataError, match="no list of whole numbers"):
        rows(tmp_path / "t.dat", "a b\n", "lists")


def test_blocks_are_read_by_their_counts(tmp_path):
    content = "add.v 2\nleft\tright\nonly left\t\npoor.j 1\nx\ty\n"
    assert rows(tmp_path / "t.txt", content, "counted_blocks") == [
        (2, {"block": "add.v", "1": "left", "2": "right"}),
        (3, {"block": "add.v", "1": "only left", "2": ""}),
        (5, {"block": "poor.j", "1": "x", "2": "y"}),
    ]
    with pytest.raises(DataError, match=r"the last block, add.v, lacks 1 lines"):
        rows(tmp_path / "t.txt", "add.v 2\nx\ty\n", "counted_blocks")
    with pytest.raises(DataError, match="opens with its name and the count"):
        rows(tmp_path / "t.txt", "add.v\n", "counted_blocks")


def test_a_json_array_is_read_alone_or_inside_an_object(tmp_path):
    assert rows(tmp_path / "t.json", '[{"a": 1}, {"a": 2}]', "json") == [(1, {"a": 1}), (2, {"a": 2})]
    assert rows(tmp_path / "t.json", '{"version": 1, "data": [{"a": 1}]}', "json") == [(1, {"a": 1})]
    for content, words in (("{}", "no array of objects"), ("[1]", "a JSON int"), ("[{]", "no JSON")):
        with pytest.raises(DataError, match=words):
            rows(tmp_path / "t.json", content, "json")
