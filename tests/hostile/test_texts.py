"""Odd texts: paths and URLs are texts, every character comes back as it went in, sizes do not matter."""

import base64
import csv
import io
import json
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest

import vecsmith as vs
from vecsmith.errors import DataError, VecsmithError
from vecsmith.models.encoder import open_encoder

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LOOK_LIKE_SOMETHING_ELSE = [
    "http://localhost:1/x.png", "https://example.com/cat.jpg", PIXEL, "/etc/passwd", "../../x.wav", "file:///etc/passwd", "default",
    "hub:NAME", "C:\\x.mp4", "-", "@file.txt", "{{ x }}", "<image>", "[MASK]", "[CLS] a [SEP]", "docstrings:stdlib", "s3://bucket/a.gif",
]  # fmt: skip
ODD = {
    "emoji": "👩‍🚀 launches 🚀 \U0001f1e9\U0001f1ea",
    "marks": "a\u202eb\u200fc\u2066d\u2069 \u200b\u00ad",
    "byte order mark": "\ufeffalpha \ufeff beta",
    "carriage returns": "alpha\rbeta\r\ngamma",
    "separators": "alpha\u2028beta\u2029gamma\x85delta\x0b\x0c",
    "storm": "e" + "\u0301" * 300 + " alpha",
    "decomposed": "e\u0301te\u0301 alpha",
    "control": "alpha\x01\x1b[2J\x7f\x9b beta",
    "beyond": "\U0010ffff \ue000 \ufffe alpha",
    "hangul": "\u1112\u1161\u11ab 한 alpha",
    "arabic": "السلام alpha ورحمة",
}


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_a_text_that_is_a_path_a_url_or_an_image_is_encoded_as_text(kind, request, tmp_path, monkeypatch):
    import socket

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something was fetched"))
    folder = request.getfixturevalue(f"{kind}_folder")
    encoder, model = open_encoder(folder), vs.load(folder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").write_bytes(base64.b64decode(PIXEL.partition(",")[2]))
    texts = [*LOOK_LIKE_SOMETHING_ELSE, "x.png", str(tmp_path / "x.png")]
    found = encoder.encode_document(texts)
    assert np.abs(model.encode_document(texts) - found).max() < 1e-5
    assert np.abs(np.stack([model.encode_document(text) for text in texts]) - found).max() < 1e-5
    stored = model.encode_to(texts, tmp_path / "v", prompt="document")
    assert np.abs(stored.array() - found).max() < 1e-5
    if kind == "transformer":  # by token ids, which no loader of images can have seen
        import torch

        ids = model.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            tokens = model[0].auto_model(**ids).last_hidden_state * ids["attention_mask"][..., None]
        means = tokens.sum(1) / ids["attention_mask"].sum(1, keepdim=True)
        assert np.abs(means.numpy() - found).max() < 1e-5


def test_texts_that_look_like_something_else_are_found_as_texts(static_folder, tmp_path, run_vecsmith):
    index = vs.Index.create(tmp_path / "index", model=open_encoder(static_folder), schema={"kind": str})
    index.add([{"id": f"{n}", "text": text, "kind": text} for n, text in enumerate(LOOK_LIKE_SOMETHING_ELSE)])
    for number, text in enumerate(LOOK_LIKE_SOMETHING_ELSE):
        hits = index.search(text, 3, where=vs.field("kind") == text)
        assert hits.ids == [str(number)]
        assert hits.texts == [text]
    index.close()
    done = run_vecsmith("search", tmp_path / "index", "--json", "--", "http://localhost:1/x.png")
    assert json.loads(done.stdout)["hits"][0]["text"] == "http://localhost:1/x.png"


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "tsv"])
def test_odd_characters_come_back_from_table_index_hits_and_filters_as_they_went_in(format, tmp_path, static_folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [name for name in ODD if format != "tsv" or not set(ODD[name]) & set("\r\n")]
    path = tmp_path / f"t.{format}"
    if format == "parquet":
        pq.write_table(pa.table({"id": names, "text": [ODD[name] for name in names]}), path)
    elif format == "jsonl":
        rows = [json.dumps({"id": n, "text": ODD[n]}, ensure_ascii=place % 2 == 0) for place, n in enumerate(names)]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8", newline="")
    else:
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter="\t" if format == "tsv" else ",", lineterminator="\n")
        writer.writerows([["id", "text"], *([name, ODD[name]] for name in names)])
        path.write_bytes(buffer.getvalue().encode())
    data = vs.read(path, document="text")
    same = {document.id: document.text for document in data.documents}
    assert same == {name: unicodedata.normalize("NFC", ODD[name]) for name in names} or same == {
        n: ODD[n] for n in names
    }
    index = vs.Index.create(tmp_path / "index", model=open_encoder(static_folder), schema={"raw": str})
    index.add([{"id": name, "text": text, "raw": text} for name, text in same.items()])
    for name, text in same.items():
        hits = index.search("alpha", 20, where=vs.field("raw") == text)
        assert hits.ids == [name]
        assert hits.texts == [text]
        assert hits.fields[0]["raw"] == text
        quoted = text.replace("'", "''")
        assert index.search("alpha", 20, where=f"raw = '{quoted}'").ids == [name]
    index.close()


def test_half_a_surrogate_pair_and_nul_are_refused_with_their_place_or_kept(tmp_path, static_folder):
    for number, text in enumerate(["\ud800", "a\udfffb"]):
        with pytest.raises(DataError, match="row 2"):
            open_encoder(static_folder).encode_query(["fine", text])
        with pytest.raises(VecsmithError):
            vs.Index.create(tmp_path / f"i{number}", model=open_encoder(static_folder)).add([{"id": "1", "text": text}])
        (tmp_path / "t.jsonl").write_text(json.dumps({"text": text}) + "\n")
        with pytest.raises(DataError, match="half of a surrogate pair"):
            vs.read(tmp_path / "t.jsonl")
    for name, data in {"t.csv": b"text\na\0b\n", "t.tsv": b"text\na\0b\n"}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match="NUL"):
            vs.read(tmp_path / name)
    assert np.isfinite(open_encoder(static_folder).encode_query(["a\0b", "\0", "\ufeff"])).all()


LONG = """
import resource, sys, time
import numpy as np
from vecsmith.models.encoder import open_encoder
from vecsmith.models.encode import encode_counted
encoder = open_encoder(sys.argv[1])
encoder.encode_query(["warm up " * 2000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
text = "alpha beta gamma delta " * 435_000  # 10 MB
begun = time.process_time()
found = encode_counted(encoder, [text, "short"], on_truncation="warn")
print(found.counts.truncated, found.counts.longest, np.isfinite(found.vectors).all())
print(time.process_time() - begun)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_ten_megabytes_in_one_text_are_cut_counted_and_cost_bounded_memory(kind, request):
    folder = request.getfixturevalue(f"{kind}_folder")
    done = subprocess.run([sys.executable, "-c", LONG, folder], capture_output=True, text=True, timeout=120, check=True)
    (cut, longest, finite), (seconds,), (grown,) = (line.split() for line in done.stdout.splitlines())
    assert finite == "True"
    if kind == "transformer":
        assert int(cut) == 1
        assert int(longest) > 1_000_000
    assert float(seconds) < 30
    assert int(grown) < 600, f"{grown} MB"


def test_cutting_a_long_text_asks_for_tokens_of_few_characters_more_than_it_has():
    from vecsmith.data.passages import cut_passages
    from vecsmith.data.readers.text_blocks import plain_blocks

    for text in (
        "alpha beta gamma " * 60_000,
        "x" * 1_000_000,
        "word\n" * 200_000,
        "A sentence. " * 80_000,
        "語。" * 300_000,
    ):
        asked = 0

        def count(part):
            nonlocal asked
            asked += len(part)
            return len(part) // 4 + 1

        begun = time.process_time()
        passages = list(cut_passages(plain_blocks(text), max_tokens=256, count_tokens=count))
        assert asked < 4 * len(text)
        assert time.process_time() - begun < 10
        assert sum(len("".join(passage.text.split())) for passage in passages) == len("".join(text.split()))


def test_a_million_empty_texts_and_one_text_a_million_times_cost_one(static_folder):
    encoder = open_encoder(static_folder)
    begun = time.process_time()
    vectors = encoder.encode_document([""] * 1_000_000)
    assert vectors.shape == (1_000_000, 6)
    assert (vectors == vectors[0]).all()
    repeated = encoder.encode_document(["thing 3 is number"] * 1_000_000)
    assert (repeated == repeated[0]).all()
    assert time.process_time() - begun < 20
