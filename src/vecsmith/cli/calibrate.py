"""`vecsmith calibrate`: measure a model's ranges once, for int8 vectors that may be mixed for ever."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli.options import JSON, progress_for

__all__ = ["command"]


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or a name.")],
    source: Annotated[
        str, typer.Argument(metavar="TEXTS", help="A .txt (a text per line) or a table with --column; - reads stdin.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Write a copy of the model here; without it MODEL's own contract is changed.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="query, document, or the name of a prompt of the model.")] = None,
    column: Annotated[str | None, typer.Option(help="Column of a table (.csv .tsv .jsonl .parquet).")] = None,
    truncate_dim: Annotated[int | None, typer.Option(help="For vectors cut to N components.")] = None,
    as_json: JSON = False,
) -> None:
    """Measure the ranges of a model's components, and keep them in its contract.

    \b
    vecsmith calibrate out/model texts.txt
    vecsmith calibrate default faq.csv --column answer --output out/calibrated
    """
    from vecsmith.cli.encode import _texts
    from vecsmith.models.calibration import calibrate_folder
    from vecsmith.models.encoder import open_encoder
    from vecsmith.models.names import resolve_name

    folder = resolve_name(model)
    found = calibrate_folder(
        folder,
        open_encoder(folder, truncate_dim=truncate_dim),
        _texts(source, column),
        output=output,
        prompt=prompt,
        progress=progress_for(as_json),
    )
    target, width = str(output or folder), found.ranges.shape[1]
    if as_json:
        print(json.dumps({"model": target, "width": width, "inputs": found.inputs}, ensure_ascii=False))
        return
    print(f"ranges of {width} components, measured on {found.inputs:,} texts, kept in {target}/embedding.json")
    cut = f" --truncate-dim {truncate_dim}" if truncate_dim else ""
    print(f"Next: vecsmith encode {target} TEXTS --precision int8{cut} --output vectors")
