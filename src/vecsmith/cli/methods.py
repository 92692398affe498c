"""`vecsmith methods`: the published methods and how far each is, derived from what is there."""

import ast
import json
import math
import tomllib
from dataclasses import dataclass
from importlib import import_module, resources
from importlib.resources.abc import Traversable
from typing import Annotated

import typer

from vecsmith.cli.options import JSON

__all__ = ["Method", "command", "methods"]

VERDICTS = ("shown", "not shown at this scale", "contradicted")
LEAST_SEEDS = 3
REPLICATED = "replicated"
PRINTED = ("row", "key", "paper", "state", "verdict", "figure", "low", "high", "seeds", "date", "command")


@dataclass(frozen=True)
class Method:
    """One row of `methods.toml` with its derived state.

    state     "planned" < "built" (every home imports, the recipe or command exists) < "replicated" (built, and the
              evidence names a verdict, at least three seeds, an interval and a day, and is of the bed of the list)
    missing   what keeps it from the next state, in words
    verdict, figure, low, high, seeds, date
              of its evidence: what was shown, the difference to the baseline and its interval, how many seeds, which
              day; None while it is not replicated
    command   what a user runs
    """

    row: int
    key: str
    paper: str
    home: tuple[str, ...]
    claim: str
    state: str
    missing: tuple[str, ...]
    command: str
    verdict: str | None = None
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int | None = None
    date: str | None = None

    @property
    def fields(self) -> dict[str, object]:
        """What `--json` prints of it."""
        return {name: getattr(self, name) for name in PRINTED}


def command(
    as_json: JSON = False,
    missing: Annotated[bool, typer.Option(help="What keeps each from its next state, in words.")] = False,
) -> None:
    """List the 31 published methods and how far each is: planned, built or replicated.

    \b
    vecsmith methods
    vecsmith methods --json
    """
    found = methods()
    if as_json:
        rows = [{**method.fields, **({"missing": method.missing} if missing else {})} for method in found]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print(f"{'row':>3}  {'key':<18} {'state or verdict':<23} {'difference and interval':<24}")
    for method in found:
        figure = "" if method.figure is None else f"{method.figure:+.3f} [{method.low:+.3f}, {method.high:+.3f}]"
        print(f"{method.row:>3}  {method.key:<18} {method.verdict or method.state:<23} {figure}".rstrip())
        for words in method.missing if missing else ():
            print(f"     {words}")
    counts = {state: sum(method.state == state for method in found) for state in ("replicated", "built", "planned")}
    print("\n" + ", ".join(f"{count} {state}" for state, count in counts.items()))
    print("Papers and commands: vecsmith methods --json; what each still needs: --missing")


def methods(package: Traversable | None = None) -> list[Method]:
    """All rows, in order, with their states.

    package   the folder that holds `methods.toml`, `recipes/` and `evidence/`; None is the installed one
    """
    root = package if package is not None else resources.files("vecsmith")
    rows = tomllib.loads(root.joinpath("methods.toml").read_text(encoding="utf-8"))["method"]
    return [_method(row, root) for row in rows]


def _method(row: dict[str, object], root: Traversable) -> Method:
    recipe, run = str(row.get("recipe", "")), str(row.get("command", ""))
    homes = tuple(str(home) for home in row["home"])  # type: ignore[attr-defined]
    missing = [words for home in homes if (words := _missing_home(home, root))]
    missing += [words] if (words := _missing_recipe(recipe, root) if recipe else _missing_command(run)) else []
    evidence, lacking = _evidence(str(row["key"]), root)
    state = "planned" if missing else "built" if lacking else REPLICATED
    shown = (
        {name: evidence[name] for name in ("verdict", "figure", "low", "high", "date")} if state == REPLICATED else {}
    )
    return Method(
        row=int(row["row"]),  # type: ignore[call-overload]
        key=str(row["key"]),
        paper=str(row["paper"]),
        home=homes,
        claim=str(row["claim"]),
        state=state,
        missing=tuple(dict.fromkeys(missing or lacking)),
        command=run or f"vecsmith train {recipe}",
        seeds=len(set(map(str, evidence["seeds"]))) if state == REPLICATED else None,  # type: ignore[call-overload]
        **shown,  # type: ignore[arg-type]
    )


def _missing_home(home: str, root: Traversable) -> str:
    """Why a home does not count: no file, no public name, or an import that fails."""
    if home.startswith("recipes/"):
        return _missing_recipe(home.removeprefix("recipes/"), root)
    file = root.joinpath(f"{home}.py")
    file = file if file.is_file() else root.joinpath(home, "__init__.py")
    if not file.is_file():
        return f"no module {home}"
    if not _public_names(file.read_text(encoding="utf-8")):
        return f"{home} holds no public name"
    try:
        import_module("vecsmith." + home.replace("/", "."))
    except ImportError as error:
        return f"{home} does not import: {error}"
    return ""


def _public_names(source: str) -> list[str]:
    """What a module lists in `__all__`, without importing it."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            return list(ast.literal_eval(node.value))
    return []


def _missing_recipe(name: str, root: Traversable) -> str:
    return "" if root.joinpath("recipes", f"{name}.yaml").is_file() else f"no recipe {name}"


def _missing_command(run: str) -> str:
    """Why a command does not count: no verb, or a group without it."""
    from vecsmith.cli.main import VERBS

    verb, *rest = run.removeprefix("vecsmith ").split()
    if verb not in VERBS:
        return f"no command {run}"
    try:
        module = import_module(f"vecsmith.cli.{verb}")
    except ImportError as error:
        return f"{run} does not import: {error}"
    app = getattr(module, "app", None)
    if not rest or app is None:
        return "" if hasattr(module, "command") or app is not None else f"no command {run}"
    names = [entry.name or entry.callback.__name__.replace("_", "-") for entry in app.registered_commands]
    return "" if rest[0] in names else f"no command {run}"


def _evidence(key: str, root: Traversable) -> tuple[dict[str, object], list[str]]:
    """The committed result of a replication, and what it lacks to count."""
    file = root.joinpath("evidence", f"{key}.json")
    if not file.is_file():
        return {}, [f"no evidence/{key}.json; make it with a replication"]
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}, [f"evidence/{key}.json is not JSON"]
    if not isinstance(found, dict):
        return {}, [f"evidence/{key}.json is no object"]
    lacking = [] if found.get("verdict") in VERDICTS else [f"its verdict is none of: {', '.join(VERDICTS)}"]
    seeds = found.get("seeds")
    if not isinstance(seeds, list) or len(set(map(str, seeds))) < LEAST_SEEDS:
        lacking.append(f"fewer than {LEAST_SEEDS} seeds")
    numbers = [found.get(name) for name in ("figure", "low", "high")]
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
        lacking.append("no difference with its interval (figure, low, high)")
    if not isinstance(found.get("date"), str):
        lacking.append("no date")
    if isinstance(bed := found.get("bed"), dict) and bed.get("other"):
        lacking.append("it was measured on another bed")
    return found, lacking
