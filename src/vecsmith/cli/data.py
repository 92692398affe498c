"""`vecsmith data`: change data into what training takes, have a language model add to it, have a teacher score it."""

from importlib import import_module
from importlib.util import find_spec

import typer

from vecsmith.cli import data_synthesise, data_transform

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def group() -> None:
    """Transform data, have a language model add to it, have a teacher score it.

    vecsmith data transform pairs.tsv --query premise --document hypothesis --label label --to scored --output out/nli

    vecsmith data synthesise out/nli --step paraphrase --endpoint http://localhost:8000/v1 --output out/more
    """


app.command("transform")(data_transform.command)
app.command("synthesise")(data_synthesise.command)

if find_spec("vecsmith.cli.data_score") is not None:
    app.command("score")(import_module("vecsmith.cli.data_score").command)
