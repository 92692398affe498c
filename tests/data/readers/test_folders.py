"""Folders of tables: splits by names, shards, cards of data sets, and data sets that Hugging Face datasets saved."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vecsmith as vs
from vecsmith.data.formats import recognise
from vecsmith.errors import DataError

LABELS = ["neg", "pos"]


def table(path, *texts, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"query": f"{text}?", "document": text, **columns} for text in texts]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def by_split(data):
    return {split: sorted(document.text for document in data.split(split).documents) for split in data.splits}


def test_files_that_are_called_as_splits_are_splits(tmp_path):
    for name, text in (("train", "a"), ("validation", "b"), ("test", "c")):
        table(tmp_path / f"{name}.jsonl", text)
    (tmp_path / "README.md").write_text("# About\n")
    found = recognise(tmp_path)
    assert (found.format, found.kind, set(found.files)) == ("table", "retrieval", {"train", "dev", "test"})
    assert by_split(vs.read(tmp_path)) == {"train": ["a"], "dev": ["b"], "test": ["c"]}


def test_shards_are_one_split_in_their_order(tmp_path):
    for number, text in ((1, "b"), (0, "a")):
        table(tmp_path / "data" / f"train-{number:05d}-of-00002.parquet", text)
    table(tmp_path / "data" / "test-00000-of-00001.parquet", "c")
    data = vs.read(tmp_path)
    assert by_split(data) == {"train": ["a", "b"], "test": ["c"]}
    assert [document.text for document in data.documents] == ["c", "a", "b"]


def test_a_missing_shard_is_an_error(tmp_path):
    table(tmp_path / "train-00001-of-00003.parquet", "a")
    table(tmp_path / "train-00002-of-00003.parquet", "b")
    with pytest.raises(DataError, match="shard 00000 of train is missing: 2 of 3 are there"):
        vs.read(tmp_path)


def test_folders_that_are_called_as_splits_are_splits(tmp_path):
    table(tmp_path / "train" / "0000.parquet", "a")
    table(tmp_path / "test" / "0000.parquet", "b")
    assert by_split(vs.read(tmp_path)) == {"train": ["a"], "test": ["b"]}


def test_tables_of_several_data_sets_are_named_and_none_is_guessed(tmp_path):
    for name in ("rte_train", "scitail_test"):
        table(tmp_path / f"{name}.jsonl", name)
    assert recognise(tmp_path).format == "unknown"
    with pytest.raises(
        DataError, match=r"not the splits of one data set \(rte_train.jsonl, scitail_test.jsonl\). Name one"
    ):
        vs.read(tmp_path)


def test_the_only_table_of_a_folder_is_read_without_a_split(tmp_path):
    table(tmp_path / "faq.jsonl", "a")
    assert vs.read(tmp_path).splits == []


def test_a_row_may_name_another_split_than_its_file(tmp_path):
    table(tmp_path / "train.jsonl", "a", split="dev")
    table(tmp_path / "test.jsonl", "b")
    assert vs.read(tmp_path).splits == ["dev", "test"]


def card(folder, configs):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\nlicense: mit\nconfigs: {json.dumps(configs)}\n---\n# About\n")


def test_a_card_says_which_files_are_which_split(tmp_path):
    for name in ("a", "b", "c"):
        table(tmp_path / "files" / f"{name}.jsonl", name)
    files = [{"split": "train", "path": ["files/a.jsonl", "files/b*"]}, {"split": "test", "path": "files/c.jsonl"}]
    card(tmp_path, [{"config_name": "default", "data_files": files}])
    assert by_split(vs.read(tmp_path)) == {"train": ["a", "b"], "test": ["c"]}


def test_several_configurations_are_named_until_one_is_chosen(tmp_path):
    for name in ("fr", "de"):
        table(tmp_path / name / "train.jsonl", name)
    card(tmp_path, [{"config_name": name, "data_files": f"{name}/*"} for name in ("fr", "de")])
    with pytest.raises(DataError, match=r"several configurations \(fr, de\). Say which: config="):
        vs.read(tmp_path)
    assert by_split(vs.read(tmp_path, config="de")) == {"train": ["de"]}
    with pytest.raises(DataError, match='no configuration "es"; the card names: fr, de'):
        vs.read(tmp_path, config="es")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("../*.jsonl", "lies outside"),
        ("/etc/*", "lies outside"),
        ("none/*", "no such file is here. Fetch it"),
        ("**x", "no pattern of files"),
    ],
)
def test_a_card_that_leads_nowhere_or_outside_is_an_error(tmp_path, pattern, words):
    table(tmp_path / "secret.jsonl", "secret")
    card(tmp_path / "set", [{"config_name": "default", "data_files": pattern}])
    with pytest.raises(DataError, match=words):
        vs.read(tmp_path / "set")


def test_a_card_that_is_no_yaml_is_an_error(tmp_path):
    (tmp_path / "README.md").write_text("---\na: [\n---\n")
    with pytest.raises(DataError, match=r"README.md: its front matter is no YAML"):
        vs.read(tmp_path)


def test_links_out_of_a_folder_are_not_followed_but_those_of_the_hub_cache_are(tmp_path):
    secret = table(tmp_path / "blobs" / "0a1b", "secret")
    plain = tmp_path / "set"
    plain.mkdir()
    (plain / "train.jsonl").symlink_to(secret)
    assert recognise(plain).format == "unknown"
    snapshot = tmp_path / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (snapshot / "train.jsonl").symlink_to("../../blobs/0a1b")
    assert by_split(vs.read(snapshot)) == {"train": ["secret"]}


@pytest.fixture
def saved(tmp_path):
    """A data set with class labels as `datasets` saves it: whole, in splits, as parquet."""
    datasets = pytest.importorskip("datasets", reason="writes what is read here; pip install datasets")
    datasets.disable_progress_bars()
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=LABELS)})
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=features)
    data.save_to_disk(str(tmp_path / "one"), num_shards=2)
    datasets.DatasetDict({"train": data, "validation": data}).save_to_disk(str(tmp_path / "dict"))
    data.to_parquet(str(tmp_path / "t.parquet"))
    return tmp_path


@pytest.mark.parametrize("name", ["one", "t.parquet"])
def test_saved_data_sets_give_class_names(saved, name):
    data = vs.read(saved / name)
    assert data.texts(data.records["query"].to_numpy()) == ["a", "b", "c"]
    assert data.records["label"].to_pylist() == ["neg", "pos", None]


def test_a_saved_dictionary_gives_splits(saved):
    found = recognise(saved / "dict")
    assert (found.format, found.kind, set(found.files)) == ("arrow_dataset", "class", {"train", "dev"})
    data = vs.read(saved / "dict")
    assert data.records["split"].to_pylist() == ["train"] * 3 + ["dev"] * 3


def test_chosen_rows_are_saved_and_read_as_chosen(tmp_path):
    datasets = pytest.importorskip("datasets", reason="writes what is read here; pip install datasets")
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict({"query": ["a?", "b?"], "pos": [["a"], ["b"]], "neg": [["x"], ["y"]]}).select([1])
    data.save_to_disk(str(tmp_path / "set"))
    assert recognise(tmp_path / "set").format == "flagembedding"
    read = vs.read(tmp_path / "set")
    assert read.texts(read.records["negatives"].to_pylist()[0]) == ["y"]


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("state.json", "{", "state.json: no JSON"),
        ("state.json", '{"_data_files": [{"filename": "../../x.arrow"}]}', "which lies outside of its folder"),
        ("state.json", f'{{"_data_files": [{{"filename": "{"x" * 300}"}}]}}', "or is no name of a file"),
        ("state.json", '{"_data_files": [{"filename": "x.arrow"}]}', "x.arrow: missing, though state.json names it"),
        ("state.json", '{"_indices_files": [{"filename": "i"}]}', "rows chosen by an index file"),
        ("data-00000-of-00002.arrow", "nothing", "no Arrow file that can be read"),
        ("data-00000-of-00002.arrow", "", "no Arrow file that can be read"),
    ],
)
def test_a_broken_saved_data_set_is_an_error_in_words(saved, file, content, words):
    (saved / "one" / file).write_text(content)
    with pytest.raises(DataError, match=words):
        vs.read(saved / "one")


@pytest.mark.parametrize("writer", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_files_and_streams_are_tables(tmp_path, writer):
    content = pa.table({"query": ["a?"], "document": ["a"], "year": [1]})
    with writer(str(tmp_path / "t.arrow"), content.schema) as out:
        out.write_table(content)
    data = vs.read(tmp_path / "t.arrow", attributes=["year"])
    assert data.documents[0].attributes == {"year": 1}


def rows(path, *cells):
    path.write_text("".join(json.dumps(each) + "\n" for each in cells))
    return path


@pytest.mark.parametrize(
    ("cells", "kind", "texts"),
    [
        ({"anchor": "a", "positive": "b"}, "retrieval", ("a", ["b"], [])),
        ({"anchor": "a", "positive": "b", "negative": "c"}, "retrieval", ("a", ["b"], ["c"])),
        ({"anchor": "a", "positive": "b", "negative_1": "c", "negative_2": "d"}, "retrieval", ("a", ["b"], ["c", "d"])),
        ({"sentence1": "a", "sentence2": "b", "score": 0.5}, "scored", ("a", ["b"], [])),
        ({"sentence_A": "a", "sentence_B": "b", "label": 1}, "scored", ("a", ["b"], [])),
        ({"query": "a", "answer": "b"}, "retrieval", ("a", ["b"], [])),
        ({"premise": "a", "hypothesis": "b", "label": 0}, "scored", ("a", ["b"], [])),
    ],
)
@pytest.mark.parametrize("format", [None, "sentence_transformers"])
def test_columns_of_sentence_transformers(tmp_path, cells, kind, texts, format):
    data = vs.read(rows(tmp_path / "t.jsonl", cells), format=format)
    (record,) = data.records.to_pylist()
    found = (data.text(record["query"]), data.texts(record["positives"]), data.texts(record["negatives"]))
    assert (record["kind"], found) == (kind, texts)


def test_columns_count_by_their_order_only_where_that_is_said(tmp_path):
    path = rows(tmp_path / "t.jsonl", {"positive": "a", "anchor": "b", "other": "c"})
    with pytest.raises(DataError, match='column "other": neither declared nor recognised'):
        vs.read(path)
    data = vs.read(path, format="sentence_transformers")
    (record,) = data.records.to_pylist()
    assert (data.text(record["query"]), data.texts(record["positives"]), data.texts(record["negatives"])) == (
        "a",
        ["b"],
        ["c"],
    )
