"""`vecsmith data synthesise`: a language model adds to a dataset."""

from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli.options import JSON

__all__ = ["command"]


def command(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A table, a folder of data, or a saved dataset.")],
    step: Annotated[str, typer.Option(help="paraphrase, augment, hard-negatives, queries or relabel.")],
    output: Annotated[Path, typer.Option(help="Folder of the dataset to make.")],
    json: JSON = False,
) -> None:
    """Have a language model add to a dataset.

    vecsmith data synthesise out/nli --step paraphrase --endpoint http://localhost:8000/v1 --output out/more
    """
    raise NotImplementedError
