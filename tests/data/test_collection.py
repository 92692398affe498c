"""Collections: their form, their counts, and every real set read as it lies."""

import zipfile

import pytest

from vecsmith.data.collection import known_collections, load_collection, read_line
from vecsmith.errors import DataError, RecipeError, UsageError

LIMIT = 1200  # rows of each file in the quick reading
PUBLISHED = load_collection("published_sets")


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_counts_rows_splits_positives_and_classes(tmp_path):
    for name, rows in (("train", "a\tb\t1\nc\td\t0\n"), ("test", "e\tf\t1\n")):
        write(tmp_path / f"{name}.tsv", f"left\tright\tsame\n{rows}")
    path = write(
        tmp_path / "c.yaml",
        "lines:\n  - {name: pairs, path: {train: train.tsv, test: test.tsv}, kind: scored, query: left,\n"
        "     document: right, score: same, expect: {rows: 3, train: 2, test: 1, positives: 2}}\n",
    )
    line = load_collection(path).line("pairs")
    read = read_line(line, tmp_path)
    assert line.differences(read.counts) == []
    assert read.dataset.split("test").records.num_rows == 1
    assert line.differences({"rows": 4}) == [
        "rows: 4, not 3",
        "train: 0, not 2",
        "test: 0, not 1",
        "positives: 0, not 2",
    ]
    part = read_line(line, tmp_path, limit=1)
    assert (part.whole, part.counts["rows"]) == (False, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lines: []", "a list under the key `lines`"),
        ("lines: [{name: a}]", "a line has at least name and path"),
        ("lines: [{name: a, path: b, documnet: c}]", 'unknown key "documnet"; did you mean "document"?'),
        ("lines: [{name: a, path: b}, {name: a, path: c}]", 'two lines are called "a"'),
        ("lines: [{name: a, path: []}]", "a path without a file"),
        ("lines: {", "no YAML"),
    ],
)
def test_a_faulty_collection_is_refused_in_words(tmp_path, text, words):
    with pytest.raises(RecipeError, match=words.replace("?", r"\?")):
        load_collection(write(tmp_path / "c.yaml", text))


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UsageError, match="Known: published_sets"):
        load_collection("published")
    with pytest.raises(UsageError, match='Did you mean "SciFact"'):
        PUBLISHED.line("Scifact")
    assert "published_sets" in known_collections()


def test_images_are_counted_by_names_alone(tmp_path):
    with zipfile.ZipFile(tmp_path / "i.zip", "w") as archive:
        for name in ("train/cat/1.jpg", "train/dog/2.JPG", "test/cat/3.png", "test/cat/readme.txt"):
            archive.writestr(name, b"")
    path = write(tmp_path / "c.yaml", "lines: [{name: i, path: i.zip, kind: images}]")
    read = read_line(load_collection(path).line("i"), tmp_path)
    assert dict(read.counts) == {"images": 3, "classes": 2, "train": 2, "test": 1}
    write(tmp_path / "i.zip", "no archive")
    with pytest.raises(DataError, match="neither a zip archive nor an IDX file"):
        read_line(load_collection(path).line("i"), tmp_path)


def test_every_line_says_what_it_must_give():
    assert [line.name for line in PUBLISHED.lines if not line.expect] == []


def test_every_real_folder_has_a_line(shared_data):
    folders = {entry.name for entry in shared_data.iterdir() if entry.is_dir()}
    assert folders - {line.folder for line in PUBLISHED.lines} == set()


@pytest.mark.parametrize("line", PUBLISHED.lines, ids=lambda line: line.name)
def test_a_real_set_is_read_as_it_lies(line, shared_data):
    """The first rows of each file; the counts where those are all."""
    if not (shared_data / line.folder).is_dir():
        pytest.skip(f"needs the folder {line.folder} of the real data sets, which is not there")
    read = read_line(line, shared_data, limit=LIMIT)
    assert not read.whole or line.differences(read.counts) == []
    assert read.dataset is None or read.dataset.records.num_rows > 0


@pytest.mark.slow
@pytest.mark.parametrize("line", PUBLISHED.lines, ids=lambda line: line.name)
def test_a_real_set_gives_the_counts_that_its_publisher_states(line, shared_data, tmp_path):
    read = read_line(line, shared_data, folder=tmp_path / "dataset")
    assert line.differences(read.counts) == []
