"""The door of the command line: one table of verbs, each imported only when called; errors as one block, no traceback."""

import os
import sys
import traceback
from importlib import import_module

import click

from vecsmith import __version__
from vecsmith.errors import VecsmithError

__all__ = ["VERBS", "application", "main"]

VERBS: dict[str, str] = {
    "demo": "Run the whole way on the docstrings of this machine: fit, judge, index, search.",
    "forge": "Your text to a fitted, judged, searchable model, in one command.",
    "train": "Train a model by a recipe.",
    "encode": "Encode texts to vectors in shards that resume.",
    "eval": "Judge models on named tasks, with intervals.",
    "index": "Create, change, check and compact an index.",
    "search": "Search an index.",
    "doctor": "Say what is wrong with an environment, model or index, and what mends it.",
    "methods": "List the methods and how far each is.",
}


class Verbs(click.Group):
    """A group whose commands are modules of this folder, imported on first use."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        import typer

        module = import_module(f"vecsmith.cli.{name}")
        if hasattr(module, "app"):
            return typer.main.get_command(module.app)
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(name, help=module.command.__doc__)(module.command)
        return typer.main.get_command(single)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments[0] not in VERBS and not arguments[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(arguments[0], VERBS, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise click.UsageError(f'no command "{arguments[0]}".{hint} Commands: {", ".join(VERBS)}', context)
        return super().resolve_command(context, arguments)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Errors are one block without a traceback; set VECSMITH_DEBUG=1 (or pass --debug first) to see it.",
)
@click.version_option(__version__, prog_name="vecsmith")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def application(debug: bool) -> None:
    """Make, judge, search and serve embeddings.

    \b
    vecsmith demo                                  the whole way, on text this machine has
    vecsmith forge my-docs --output out            the same on your own text
    """
    if debug:
        os.environ["VECSMITH_DEBUG"] = "1"


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 gate, 2 usage, 3 data, 4 contract, 5 extra, 6 limit, 70 bug, 130."""
    try:
        result = application.main(standalone_mode=False, prog_name="vecsmith")
        code = result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except VecsmithError as error:
        code = _report(str(error), error, error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        print("\ninterrupted; the same command goes on from the last finished step", file=sys.stderr)
        code = 130
    except MemoryError as error:
        code = _report(f"out of memory: {error or 'no further detail'}", error, 6)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        words = f"this is a bug in vecsmith: {type(error).__name__}: {error}\nRun it again with `vecsmith --debug ...`"
        code = _report(words, error, 70)
    sys.stdout.flush()
    sys.exit(code)


def _report(words: str, error: BaseException, code: int) -> int:
    if os.environ.get("VECSMITH_DEBUG"):
        traceback.print_exception(error)
    print(f"vecsmith: {words}", file=sys.stderr)
    return code
