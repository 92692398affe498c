"""`vecsmith data transform`: any records to retrieval, graded pairs, classes or triplets."""

from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli.options import JSON

__all__ = ["command"]


def command(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A table, a folder of data, or a saved dataset.")],
    to: Annotated[str, typer.Option(help="retrieval, scored, class or triplets.")],
    output: Annotated[Path, typer.Option(help="Folder of the dataset to make.")],
    json: JSON = False,
) -> None:
    """Change records into one of the problem kinds that training knows.

    vecsmith data transform pairs.tsv --to scored --output out/nli
    """
    raise NotImplementedError
