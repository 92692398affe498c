"""The door of the command line: a table of verbs, each imported only when called; errors as one block, no traceback."""

import difflib
import os
import signal
import sys
import traceback
from importlib import import_module

from vecsmith import __version__
from vecsmith.errors import UsageError, VecsmithError
from vecsmith.terminal import PrintableStream, printable

__all__ = ["VERBS", "main", "run"]

VERBS: dict[str, str] = {
    "demo": "Run the whole way on the docstrings of this machine.",
    "forge": "Your text to a fitted, judged, searchable model.",
    "train": "Train a model by a recipe.",
    "encode": "Encode texts to vectors, in shards that resume.",
    "calibrate": "Measure a model's ranges once, for int8 vectors.",
    "eval": "Judge models on named tasks, with intervals.",
    "data": "Transform data, have a model add to it or a teacher score it.",
    "mine": "Mine hard negatives, with what was dropped and why.",
    "inspect": "Say what data holds, how it is read and what needs action.",
    "index": "Create, change, check and compact an index.",
    "search": "Search an index.",
    "parity": "Does another program give this model's vectors, and why not.",
    "export": "Write a model for onnxruntime, OpenVINO or without a transformer.",
    "doctor": "Say what is wrong here and the command that mends it.",
    "replicate": "Run a published method's replication, in a checkout.",
    "methods": "List the methods and how far each is.",
}

HELP = """\
Usage: vecsmith COMMAND [OPTIONS]

Make, judge, search and serve embeddings.

  vecsmith demo                          the whole way, on this machine's text
  vecsmith forge my-docs --output out    the same, on your own text

Commands:
{verbs}

Options:
  --version      Print the version.
  --debug        Show the traceback of an error.
  -h, --help     Print this; for a command: vecsmith COMMAND --help
"""


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 gate, 2 usage, 3 data, 4 contract, 5 extra, 6 limit, 70 bug, 130 interrupted, 143 terminated.
    """
    # Threads that spin while they wait made a training step fifty times slower beside one other busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = sys.argv[1:]
    while arguments and arguments[0] == "--debug":
        os.environ["VECSMITH_DEBUG"] = "1"
        arguments = arguments[1:]
    signal.signal(signal.SIGTERM, _terminate)
    sys.stdout = PrintableStream(sys.stdout)
    code = run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; every error ends as one block on stderr."""
    try:
        return _dispatch(arguments)
    except VecsmithError as error:
        return _report(str(error), error, error.exit_code)
    except KeyboardInterrupt as error:
        return _report("interrupted; the same command goes on from the last finished step", error, 130)
    except _Terminated as error:
        return _report("terminated; the same command goes on from the last finished step", error, 143)
    except MemoryError as error:
        return _report(f"out of memory: {error or 'the job needs more than this machine has free'}", error, 6)
    except BrokenPipeError:
        _close_stdout()
        return 0
    except Exception as error:  # noqa: BLE001  the last door: what reaches it is a bug, and says so
        words = f"this is a bug in vecsmith: {type(error).__name__}: {error}\nSee where: vecsmith --debug ..."
        return _report(words, error, 70)


class _Terminated(BaseException):
    """SIGTERM; like KeyboardInterrupt, nothing but the last door catches it, and what was half written is removed."""


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once
    raise _Terminated


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, VERBS))
        print(HELP.format(verbs="\n".join(f"  {verb:<{width}}  {words}" for verb, words in VERBS.items())), end="")
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"vecsmith {__version__}")
        return 0
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise UsageError(f"{argument} is no UTF-8, which reports and tables cannot hold; rename it, or give a link")
    verb, *rest = arguments
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise UsageError(f'no command "{verb}".{hint} Commands: {", ".join(VERBS)}')
    return _call(verb, rest)


def _call(verb: str, arguments: list[str]) -> int:
    """Run a verb's module: a Typer `app` for a group, else its function `command`."""
    import typer

    module = import_module(f"vecsmith.cli.{verb}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(
            add_completion=False,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        app.command()(module.command)
    try:
        result = app(arguments, standalone_mode=False, prog_name=f"vecsmith {verb}")
    except Exception as error:
        # typer carries its own copy of click in some versions and uses the installed one in others.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        if type(error).__name__ == "Exit":
            return _ended(int(getattr(error, "exit_code", 0)))
        if type(error).__name__ == "Abort":
            raise KeyboardInterrupt from error
        raise
    return _ended(result if isinstance(result, int) else 0)


def _ended(code: int) -> int:
    """typer turns Ctrl-C into exit code 130 before we see it; the person still needs the words."""
    if code == 130:
        raise KeyboardInterrupt
    return code


def _report(words: str, error: BaseException, code: int) -> int:
    if os.environ.get("VECSMITH_DEBUG"):
        traceback.print_exception(error)
    print(f"vecsmith: {printable(words)}", file=sys.stderr)
    return code


def _close_stdout() -> None:
    """The reader of our output has gone; what is still buffered must not raise at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
