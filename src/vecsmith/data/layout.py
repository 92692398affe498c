"""How a dataset lies on the disk: three Arrow files and `dataset.json`; their columns and their types."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "DESCRIPTION",
    "DOCUMENT_COLUMNS",
    "DOCUMENT_FIELDS",
    "FORMAT",
    "INPUTS",
    "KINDS",
    "LATER_RECORD_COLUMNS",
    "RECORDS",
    "VERSION",
    "arrow_file",
    "map_table",
    "strangeness",
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
        ("id", pa.string()),
        ("grades", pa.list_(pa.float32())),
    ]
)
# Columns of records that few sources have: a dataset written before they were there is read as if they were null.
LATER_RECORD_COLUMNS = ("id", "grades")


def arrow_file(folder: Path, table: str) -> Path:
    """Where a table of a dataset lies; `table` is inputs, documents or records."""
    return folder / f"{table}.arrow"


def strangeness(tables: dict[str, pa.Table]) -> str | None:
    """What does not belong in tables that were read, in words: a missing column, or a row of inputs that is not there.

    tables    inputs, documents, records
    """
    wanted = {"inputs": INPUTS, "documents": pa.schema(DOCUMENT_FIELDS), "records": RECORDS}
    for name, schema in wanted.items():
        if len(set(tables[name].column_names)) < tables[name].num_columns:
            return f"{name} has two columns of one name"
        for field in schema:
            found = tables[name].schema.field(field.name).type if field.name in tables[name].column_names else None
            if found != field.type and not (found is None and field.name in LATER_RECORD_COLUMNS):
                return f"{name} has {field.name} of {found or 'no type: it is missing'}, not {field.type}"
    columns = [("documents", tables["documents"]["input"]), ("records", tables["records"]["query"])]
    columns += [("records", pc.list_flatten(tables["records"][side])) for side in ("positives", "negatives")]
    for name, rows in columns:
        ends = pc.min_max(rows).as_py()
        if ends["min"] is not None and not 0 <= ends["min"] <= ends["max"] < tables["inputs"].num_rows:
            return f"{name} names rows {ends['min']} to {ends['max']} of {tables['inputs'].num_rows:,} inputs"
    return None


def map_table(path: Path) -> pa.Table:
    """An Arrow file as a table over its mapped pages; every length, offset and text in it is checked.

    raises    OSError, pa.ArrowException, UnicodeDecodeError: cut, changed, or no Arrow file
    """
    # A wrong offset would end the process at its first use, not raise. Read block by block: mapped pages that were
    # looked at count as memory of this process.
    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            reader.get_batch(number).validate(full=True)
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
