"""From a name in a recipe to the function or class it means: found by looking, never registered."""

import ast
import difflib
import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from vecsmith.errors import RecipeError

__all__ = ["declared_names", "declared_options", "home_of", "is_wrapper", "resolve"]


def resolve(room: str, name: str) -> Callable[..., Any]:
    """The public function or class `name` of a room ("models", "objectives").

    Only the file that defines it is imported, so a module whose extra is missing hides nothing else.

    raises   RecipeError: no module of the room lists the name in `__all__`, or two do
    """
    root, file = _root(room), home_of(room, name)
    module = importlib.import_module(".".join(["vecsmith", room, *file.relative_to(root).with_suffix("").parts]))
    found: Callable[..., Any] = getattr(module, name)
    return found


def home_of(room: str, name: str) -> Path:
    """The file of the room that declares `name`."""
    homes: dict[str, list[Path]] = {}
    for file in sorted(_root(room).rglob("*.py")):
        for public in declared_names(file):
            homes.setdefault(public, []).append(file)
    if len(homes.get(name, [])) == 1:
        return homes[name][0]
    if name in homes:
        files = ", ".join(str(file.relative_to(_root(room))) for file in homes[name])
        raise RecipeError(f'"{name}" is not one name of {room}: it stands in {files}')
    near = difflib.get_close_matches(name, homes, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    raise RecipeError(f'"{name}" is no name of {room}{hint} (known: {", ".join(sorted(homes))})')


def declared_options(room: str, name: str) -> list[str]:
    """The keyword-only arguments of a function of a room, read from its source."""
    for node in _parse(home_of(room, name)).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return [argument.arg for argument in node.args.kwonlyargs]
        if isinstance(node, ast.ClassDef) and node.name == name:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                    return [argument.arg for argument in inner.args.kwonlyargs]
    return []


def is_wrapper(name: str) -> bool:
    """Whether a function of the room "objectives" wraps another: its first argument is `objective`; read, not run."""
    for node in _parse(home_of("objectives", name)).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            arguments = [*node.args.posonlyargs, *node.args.args]
            return bool(arguments) and arguments[0].arg == "objective"
    return False


def declared_names(file: Path) -> list[str]:
    """What a module lists in `__all__`, without importing it."""
    for node in _parse(file).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            return list(ast.literal_eval(node.value))
    return []


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _root(room: str) -> Path:
    spec = importlib.util.find_spec(f"vecsmith.{room}")
    if spec is None or spec.origin is None:
        raise RecipeError(f'vecsmith has no room "{room}"')
    return Path(spec.origin).parent
