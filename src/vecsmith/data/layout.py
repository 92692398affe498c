"""How a dataset lies on the disk: three Arrow files and `dataset.json`; their columns and their types."""

from pathlib import Path

import pyarrow as pa

__all__ = [
    "DESCRIPTION",
    "DOCUMENT_COLUMNS",
    "DOCUMENT_FIELDS",
    "FORMAT",
    "INPUTS",
    "KINDS",
    "RECORDS",
    "VERSION",
    "arrow_file",
    "map_table",
]

FORMAT, VERSION = "vecsmith.dataset", 1
DESCRIPTION = "dataset.json"
KINDS = ("retrieval", "pair", "scored", "class", "plain")

# One row per distinct input. `image` (binary) and `same_as` (fixed_size_binary[16]) join when a source has them.
INPUTS = pa.schema([pa.field("content", pa.binary(16), nullable=False), ("text", pa.string())])

# Attribute columns stand after these.
DOCUMENT_FIELDS = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("input", pa.int64(), nullable=False),
    pa.field("group", pa.string()),
    pa.field("split", pa.string()),
]
DOCUMENT_COLUMNS = tuple(field.name for field in DOCUMENT_FIELDS)

RECORDS = pa.schema(
    [
        pa.field("query", pa.int64(), nullable=False),
        pa.field("positives", pa.list_(pa.int64()), nullable=False),
        pa.field("negatives", pa.list_(pa.int64()), nullable=False),
        ("scores", pa.list_(pa.float32())),
        ("teacher_scores", pa.list_(pa.float32())),
        ("label", pa.string()),
        pa.field("weight", pa.float32(), nullable=False),
        ("group", pa.string()),
        ("instruction_query", pa.string()),
        ("instruction_document", pa.string()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        ("split", pa.string()),
    ]
)


def arrow_file(folder: Path, table: str) -> Path:
    """Where a table of a dataset lies; `table` is inputs, documents or records."""
    return folder / f"{table}.arrow"


def map_table(path: Path) -> pa.Table:
    """An Arrow file as a table over its mapped pages: nothing is read until it is used."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
