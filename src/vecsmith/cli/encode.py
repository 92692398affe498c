"""`vecsmith encode`: texts of a file to a folder of vectors."""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli.options import JSON, progress_for

__all__ = ["command"]


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model folder or a name: default, all-MiniLM-L6-v2, hub:NAME.")
    ],
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A .txt (a text per line) or a table with --column; - reads stdin.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the vectors; the same command goes on where it was killed.")],
    prompt: Annotated[str | None, typer.Option(help="query, document, or the name of a prompt of the model.")] = None,
    column: Annotated[str | None, typer.Option(help="Column of a table (.csv .tsv .jsonl .parquet) to encode.")] = None,
    precision: Annotated[
        str, typer.Option(help="How to store: float32, int8, uint8 (by stored ranges), binary, ubinary.")
    ] = "float32",
    dtype: Annotated[
        str, typer.Option(help="How to compute: float32, bfloat16, auto (measured once), int8.")
    ] = "float32",
    on_truncation: Annotated[str, typer.Option(help="Too long an input: warn, error or chunk.")] = "warn",
    truncate_dim: Annotated[int | None, typer.Option(help="Keep the first N components, normalised again.")] = None,
    shard_rows: Annotated[int, typer.Option(help="Rows per file; memory holds one file's texts and vectors.")] = 32_768,
    as_json: JSON = False,
) -> None:
    """Encode texts to vectors, in shards that resume.

    vecsmith encode default sentences.txt --output vectors

    vecsmith encode all-MiniLM-L6-v2 faq.csv --column answer --prompt document --output vectors
    """
    from vecsmith.models.encoder import open_encoder
    from vecsmith.models.shards import encode_to

    encoder = open_encoder(model, truncate_dim=truncate_dim, dtype=dtype)
    shards = encode_to(
        encoder,
        _texts(source, column),
        output,
        prompt=prompt,
        precision=precision,
        shard_rows=shard_rows,
        on_truncation=on_truncation,
        progress=progress_for(as_json),
    )
    result = {
        "output": str(output),
        "rows": shards.rows,
        "width": shards.width,
        "shards": len(shards.manifest["shards"]),
        "model": shards.contract.name,
        "space": shards.contract.fingerprint,
        "prompt": shards.manifest["prompt"],
        "truncated": shards.counts.truncated,
        "dtype": shards.contract.view["dtype"],
        "precision": precision,
        "clipped": shards.clipped,
    }
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    cut = f", {shards.counts.truncated:,} inputs cut" if shards.counts.truncated else ""
    stored = "" if precision == "float32" else f", stored as {precision}"
    print(f"{shards.rows:,} vectors of width {shards.width}{stored} in {output}{cut}")
    print(f"space {shards.contract.fingerprint} ({shards.contract.describe()})")
    read = "array" if precision == "float32" else "vectors"
    print(f"Read them: vecsmith.models.shards.Shards.open({str(output)!r}).{read}()")


def _texts(source: str, column: str | None) -> Iterator[str]:
    """The texts of a source, one at a time.

    raises    UsageError: a table without --column, or --column for lines; DataError with file and row
    """
    from vecsmith.errors import DataError, UsageError

    if source == "-":
        return _lines(None)
    from vecsmith.data.readers.table_formats import table_format

    path = Path(source)
    if not path.is_file():
        raise DataError("no such file; INPUT is a .txt, a table, or - for stdin", file=source)
    if table_format(path) is not None:
        if column is None:
            raise UsageError(f"{source} is a table; name the column to encode: --column NAME")
        return _cells(path, column)
    if column is not None:
        raise UsageError(f"{source} is read as lines and has no columns; leave --column out")
    return _lines(path)


def _lines(path: Path | None) -> Iterator[str]:
    """Lines without their line end; an empty line is an input too, so that rows stay aligned with lines."""
    from vecsmith.data.readers.table_lines import open_bytes
    from vecsmith.errors import DataError

    with nullcontext((sys.stdin.buffer, None)) if path is None else open_bytes(path) as (stream, _):
        for row, line in enumerate(stream, start=1):
            try:
                yield line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"byte {error.start + 1} of the line is no UTF-8; convert the file, e.g. iconv -f latin1 -t utf-8",
                    file=path or "stdin",
                    row=row,
                ) from error


def _cells(path: Path, column: str) -> Iterator[str]:
    """One column of a table; an empty or missing cell is an error, since its row would have no text."""
    import difflib

    from vecsmith.data.readers.rows import open_rows
    from vecsmith.errors import DataError

    for row, cells in open_rows(path):
        value = cells.get(column)
        if column not in cells:
            near = difflib.get_close_matches(column, cells, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else "."
            raise DataError(f"no such column{hint} Columns: {', '.join(cells)}", file=path, row=row, column=column)
        if not isinstance(value, str):
            raise DataError(
                f"a {type(value).__name__} where text is expected; fill it or leave the row out",
                file=path,
                row=row,
                column=column,
            )
        yield value
