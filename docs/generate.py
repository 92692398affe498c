"""Write docs/cli.md from every --help text and docs/api.md from the packages' modules. `--check` only compares.

python docs/generate.py [--check]
"""

import contextlib
import io
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src" / "vecsmith"


def help_of(*arguments: str) -> str:
    """The help text of a command at 80 columns."""
    from vecsmith.cli.main import run

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run([*arguments, "--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip()


def commands() -> list[tuple[str, ...]]:
    """Every command and, for a group, its subcommands."""
    from importlib import import_module

    from vecsmith.cli.main import VERBS

    found: list[tuple[str, ...]] = [()]
    for verb in VERBS:
        found.append((verb,))
        app = getattr(import_module(f"vecsmith.cli.{verb}"), "app", None)
        registered = app.registered_commands if app is not None else []
        found += [(verb, command.name or command.callback.__name__.replace("_", "-")) for command in registered]
    return found


def cli_page() -> str:
    parts = ["# Command line", "", "Generated from the `--help` texts.", ""]
    for command in commands():
        parts += [f"## {' '.join(('vecsmith', *command))}", "", "```text", help_of(*command), "```", ""]
    return "\n".join(parts)


def api_page() -> str:
    """One section per room, one entry per public module."""
    parts = ["# API", "", "Generated from the docstrings.", ""]
    rooms: dict[str, list[str]] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        parts_of = file.relative_to(SOURCE).with_suffix("").parts
        if file.name.startswith("__") or parts_of[0] == "cli" or "__all__" not in file.read_text(encoding="utf-8"):
            continue
        room = parts_of[0] if len(parts_of) > 1 else "vecsmith"
        rooms.setdefault(room, []).append(".".join(("vecsmith", *parts_of)))
    for room, modules in rooms.items():
        parts += [f"## {room}", ""]
        for module in modules:
            parts += [f"::: {module}", ""]
    return "\n".join(parts)


def main() -> int:
    os.environ["COLUMNS"] = "80"
    os.environ["NO_COLOR"] = "1"
    stale = []
    for name, page in (("cli.md", cli_page()), ("api.md", api_page())):
        path = HERE / name
        if path.exists() and path.read_text(encoding="utf-8") == page:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(page, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run: python docs/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
