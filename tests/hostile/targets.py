"""What is broken in `fuzz.py`: a small valid example of everything vecsmith reads, and the door that reads it."""

import gzip
import io
import json
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path

from fuzz import Target

__all__ = ["FAMILIES", "document_targets", "folder_targets", "format_targets", "table_targets", "text_targets"]

ROWS = [
    {"id": f"r{n}", "question": f'what is "thing" {n}, é🙂?', "answer": f"thing {n} is\nnumber {n * 7}", "year": str(2000 + n)}
    for n in range(12)
]  # fmt: skip
NAMES = list(ROWS[0])


def delimited(mark: str) -> bytes:
    import csv

    text = io.StringIO()
    writer = csv.DictWriter(text, NAMES, delimiter=mark)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def json_lines() -> bytes:
    rows = [{**row, "year": int(row["year"]), "tags": ["a", "b"], "at": "2020-01-02T03:04:05Z"} for row in ROWS]
    return "".join(json.dumps(row, ensure_ascii=n % 2 == 0) + "\n" for n, row in enumerate(rows)).encode()


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: [row[name] for row in ROWS] for name in NAMES} | {"tags": [["a", "b"]] * len(ROWS)})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_table_door(name: str) -> Callable[[Path], object]:
    def door(folder: Path) -> object:
        from vecsmith.data.read import read

        return read(folder / name, query="question", document="answer", attributes="*")

    return door


def table_targets() -> list[Target]:
    lines, text = json_lines(), delimited(",")
    return [
        Target("csv", {"t.csv": text}, read_table_door("t.csv")),
        Target("tsv", {"t.tsv": delimited("\t")}, read_table_door("t.tsv")),
        Target("jsonl", {"t.jsonl": lines}, read_table_door("t.jsonl")),
        Target("parquet", {"t.parquet": parquet()}, read_table_door("t.parquet")),
        Target("csv.gz", {"t.csv.gz": gzip.compress(text)}, read_table_door("t.csv.gz")),
        Target("parquet.gz", {"t.parquet.gz": gzip.compress(parquet())}, read_table_door("t.parquet.gz")),
    ]


DOCUMENTS = {
    "a.md": "# Guide\n\nRead *me*.\n\n```py\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- item\n  - inner\n\n## Ende\nSee [it](x).\n",
    "b.rst": "Notes\n=====\n\nText ``code``.\n\n.. note:: hi\n\n   more\n\nSub\n---\n* one\n* two\n\n+--+--+\n|a |b |\n+--+--+\n",
    "c.html": "<!doctype html><meta charset=utf-8><title>P</title><h1>Head</h1><p>Body &amp; <b>bold</b><script>x()</script>"
    "<pre>a\n b</pre><table><tr><td>1<td>2</table><ul><li>one<li>two</ul><!-- c --><style>p{}</style>\n",
    "d.py": '"""Module."""\n\nimport os\n\n\nclass A:\n    """Do a."""\n\n    def f(self, x: int = 1) -> str:\n        """Return f."""\n        return f"{x!r}"\n\n\nasync def g(): pass\n',
    "e.txt": "Plain text. One more sentence!\n\nAnother paragraph, 東京都。天気。\n",
}  # fmt: skip


def folder_door(folder: Path) -> object:
    from vecsmith.data.source import open_source

    return [unit.id for unit in open_source(folder, count_tokens=lambda text: len(text.split()), max_tokens=8).units()]


def document_targets() -> list[Target]:
    return [
        Target(f"document{Path(name).suffix}", {name: text.encode()}, folder_door) for name, text in DOCUMENTS.items()
    ]


def folder_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def make_static(folder: Path) -> None:
    """A static model of 40 words in a saved folder, with its contract and a Dense module."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.dense import Dense
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    from vecsmith.models.save import save

    words = ["[UNK]", *{word for row in ROWS for word in row["answer"].split()}, "word0", "word1"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(sorted(words))}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    first = StaticEmbedding(tokenizer, embedding_dim=8)
    save(SentenceTransformer(modules=[first, Dense(8, 6), Normalize()], device="cpu"), folder)


def make_transformer(folder: Path) -> None:
    """A BERT of one layer and 8 components, saved with its contract."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from vecsmith.models.save import save

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as base:
        BertModel(config).save_pretrained(base)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
            mask_token="[MASK]", model_max_length=32,
        ).save_pretrained(base)  # fmt: skip
        module = Transformer(base)
        save(SentenceTransformer(modules=[module, Pooling(8, "mean")], device="cpu"), folder)


def static_door(folder: Path) -> object:
    from vecsmith.models.encoder import open_encoder

    return open_encoder(folder).encode_query(["thing 3 is number", ""])


def torch_door(folder: Path) -> object:
    from vecsmith.models.load import load

    return load(folder, device="cpu").encode(["a cab", ""])


def index_door(folder: Path) -> object:
    from vecsmith.index.index import Index
    from vecsmith.index.segment import Segment

    Segment._open.clear()
    with Index.open(folder) as index:
        index.verify(deep=True)
        return index.search("word3 word7", 5, mode="lexical", where="year > 2 and tags has 'x'").to_json()


def make_index(folder: Path) -> None:
    import numpy as np

    from vecsmith.index.index import Index

    rows = [{"id": f"r{n}", "text": f"word{n} é", "year": n, "tags": ["x", "y"][: n % 3]} for n in range(20)]
    index = Index.create(folder / "index", width=4, schema={"year": int, "tags": set}, durability="none")
    index.add(rows, np.random.default_rng(0).standard_normal((20, 4)))
    index.delete(["r3"])
    index.close()


def shards_door(folder: Path) -> object:
    from vecsmith.models.shards import Shards

    shards = Shards.open(folder)
    return [shards.array().shape, len(shards)]


def contract_door(folder: Path) -> object:
    from vecsmith.contract.compare import compare
    from vecsmith.contract.contract import Contract

    contract = Contract.read(folder)
    return contract.describe(), compare(contract, contract), contract.width


def dataset_door(folder: Path) -> object:
    from vecsmith.data.dataset import Dataset

    data = Dataset.open(folder / "data")
    return [data.fingerprint(), list(data.documents), data.judgements().document_ids]


def folder_targets() -> list[Target]:
    """Folders that vecsmith itself writes, and others may break."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_static(root / "static")
        make_transformer(root / "transformer")
        static, transformer = folder_files(root / "static"), folder_files(root / "transformer")
        bare = {name: data for name, data in static.items() if name != "embedding.json"}
        found += [
            Target("static", static, static_door),
            Target("static, bare", bare, static_door),
            Target("transformer", transformer, torch_door),
            Target("transformer, bare", {n: d for n, d in transformer.items() if n != "embedding.json"}, torch_door),
            Target("embedding.json", {"embedding.json": static["embedding.json"]}, contract_door),
        ]
        make_index(root)
        index = folder_files(root / "index")
        found.append(Target("index", index, index_door))
        found.append(Target("catalog", index, index_door, broken=("catalog.sqlite",), changes=12))
        from vecsmith.models.encoder import open_encoder
        from vecsmith.models.shards import encode_to

        encode_to(open_encoder(root / "static"), (row["answer"] for row in ROWS), root / "shards", shard_rows=5)
        found.append(Target("shards", folder_files(root / "shards"), shards_door))
        (root / "t.csv").write_bytes(delimited(","))
        from vecsmith.data.read import read

        read(root / "t.csv", query="question", document="answer", attributes="*", folder=root / "set" / "data")
        found.append(Target("dataset", folder_files(root / "set"), dataset_door))
    return found


RECIPE = b"""\
name: mine
seed: 7
prompts: {query: "q: ", document: ""}
model: {base: default, modules: []}
data: [{path: t.csv, kind: retrieval, weight: 1.0, columns: {query: question, document: answer}}]
stages:
  - name: weak
    objective: {retrieval: [{info_nce: {temperature: 0.02}}]}
    train: {per_device_train_batch_size: 64, max_steps: 300}
profiles: {tiny: {stages: []}}
evaluate: [{suite: small_english, tasks: [stsb]}]
"""


def recipe_door(folder: Path) -> object:
    from vecsmith.training.recipe import load_recipe

    return load_recipe(folder / "recipe.yaml").to_yaml()


def suite_door(folder: Path) -> object:
    from vecsmith.evaluation.tasks import load_suite

    return [task.definition() for task in load_suite(folder / "suite.yaml").tasks]


WHERE = b"year >= 3 and package in ('a', 'b') or not (w between 1 and 2.5) and tags has any ('a', 'b') and created < timestamp '2015-01-01T00:00:00+01:00' and not (flag) and `order by` starts with 'x' and year is not null"
WHERE_WORDS = tuple(
    b" and , or , not , in , is null , between , has all (, like , date '2020-13-01', select , `, ', \", ;, --, :p, <> , == , 1e999 , starts with , is not distinct from ".split(b", ")
)  # fmt: skip


def schema() -> object:
    import datetime as dt

    from vecsmith.index.schema import Schema

    return Schema.of({"year": int, "w": float, "package": str, "flag": bool, "created": dt.datetime, "tags": set, "order by": str})  # fmt: skip


def where_door(folder: Path) -> object:
    from vecsmith.index.where import parse_where
    from vecsmith.index.where_canonical import canonical
    from vecsmith.index.where_json import from_json, to_json
    from vecsmith.index.where_write import to_text

    text = (folder / "where.txt").read_bytes().decode("utf-8", "surrogateescape")
    tree = parse_where(text, schema())
    again = parse_where(to_text(tree), schema())
    assert to_json(again) == to_json(tree), to_text(tree)
    assert from_json(to_json(canonical(tree))) == canonical(tree)
    return tree


def where_json_door(folder: Path) -> object:
    from vecsmith.index.where_check import check
    from vecsmith.index.where_json import from_json
    from vecsmith.index.where_write import to_text

    try:
        value = json.loads((folder / "where.json").read_text(encoding="utf-8", errors="surrogateescape"))
    except (ValueError, RecursionError):
        return None
    tree = from_json(value)
    check(tree, schema())
    return to_text(tree)


def where_as_json() -> bytes:
    from vecsmith.index.where import parse_where
    from vecsmith.index.where_json import to_json

    return json.dumps(to_json(parse_where(WHERE.decode(), schema()))).encode()


def text_targets() -> list[Target]:
    """What people write by hand."""
    return [
        Target("recipe", {"recipe.yaml": RECIPE}, recipe_door),
        Target("suite", {"suite.yaml": suite_text()}, suite_door),
        Target("where", {"where.txt": WHERE}, where_door, words=WHERE_WORDS),
        Target("where, json", {"where.json": where_as_json()}, where_json_door),
    ]


def suite_text() -> bytes:
    from vecsmith.evaluation.tasks import SUITES

    return (SUITES / "small_english.yaml").read_bytes()


def any_door(name: str) -> Callable[[Path], object]:
    """Say what it is, read it and look at it."""

    def door(folder: Path) -> object:
        from vecsmith.data.formats import recognise
        from vecsmith.data.read import read

        recognise(folder / name)
        return read(folder / name).fingerprint()

    return door


BEIR = {
    "s/corpus.jsonl": b"".join(
        b'{"_id": "d%d", "title": "T", "text": "text of number %d"}\n' % (n, n) for n in range(8)
    ),
    "s/queries.jsonl": b"".join(b'{"_id": "q%d", "text": "which is %d?"}\n' % (n, n) for n in range(8)),
    "s/qrels/test.tsv": b"query-id\tcorpus-id\tscore\n" + b"".join(b"q%d\td%d\t1\n" % (n, n) for n in range(8)),
}
FLAG = b"".join(
    b'{"query": "which is %d?", "pos": ["text of %d"], "neg": ["text of %d"], "pos_scores": [0.9], "neg_scores": [0.1], '
    b'"prompt": "find"}\n' % (n, n, n + 100)
    for n in range(8)
)
TEVATRON = b"".join(
    b'{"query_id": "q%d", "query": "which is %d?", "positive_passages": [{"docid": "d%d", "title": "t", "text": "x %d"}], '
    b'"negative_passages": [{"docid": "n%d", "title": "t", "text": "y %d"}]}\n' % (n, n, n, n, n, n)
    for n in range(8)
)
MESSAGES = b"".join(
    b'{"messages": [{"role": "user", "content": "which is %d?"}], "positive_messages": [[{"role": "user", "content": '
    b'"text of %d"}]], "negative_messages": [[{"role": "user", "content": "text of %d"}]]}\n' % (n, n, n + 100)
    for n in range(8)
)


def format_targets() -> list[Target]:
    """What other tools write."""
    import bz2

    import pyarrow as pa

    rows = json_lines()
    found = [
        Target("beir", BEIR, any_door("s")),
        Target("flagembedding", {"t.jsonl": FLAG}, any_door("t.jsonl")),
        Target("tevatron", {"t.jsonl": TEVATRON}, any_door("t.jsonl")),
        Target("messages", {"t.jsonl": MESSAGES}, any_door("t.jsonl")),
        Target("jsonl.xz", {"t.jsonl.xz": lzma.compress(rows)}, read_table_door("t.jsonl.xz")),
        Target("jsonl.bz2", {"t.jsonl.bz2": bz2.compress(rows)}, read_table_door("t.jsonl.bz2")),
        Target(
            "jsonl.zst", {"t.jsonl.zst": pa.Codec("zstd").compress(rows, asbytes=True)}, read_table_door("t.jsonl.zst")
        ),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        from datasets import Dataset, DatasetDict

        pairs = {"question": [row["question"] for row in ROWS], "answer": [row["answer"] for row in ROWS]}
        DatasetDict({"train": Dataset.from_dict(pairs)}).save_to_disk(f"{temporary}/d")
        found.append(Target("datasets", folder_files(Path(temporary)), any_door("d")))
    return found


FAMILIES = ("table_targets", "format_targets", "document_targets", "text_targets", "folder_targets")
