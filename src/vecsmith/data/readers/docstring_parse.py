"""The docstrings of one Python file, read with `ast`: nothing is imported or run.

As a program (`python -m vecsmith.data.readers.docstring_parse`) it reads NUL-separated paths on stdin and writes one
JSON line per file: `[error or null, [[qualified name, kind, text], ...]]`. Workers are plain processes over pipes, so
that a caller's script needs no `__main__` guard and no process is forked from a program that runs threads.
"""

import ast
import gc
import inspect
import json
import os
import sys
import warnings
from collections.abc import Iterator

__all__ = ["MAX_BYTES", "parse_docstrings", "parse_file"]

MAX_BYTES = 2_000_000  # generated tables and fixtures; parsing one of 10 MB takes a gigabyte

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def parse_docstrings(source: bytes) -> list[tuple[str, str, str]]:
    """(qualified name, kind, text) of every docstring of a module, in the order of the file.

    source    the file's bytes; a coding line or a byte order mark is honoured
    returns   the name is "" for the module itself, "Class.method" or "outer.inner" below it; kind is module, class,
              function or method; the text is dedented and never blank
    raises    SyntaxError, ValueError (NUL bytes, undecodable text), RecursionError, MemoryError: as `ast.parse`
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarning of other people's escapes
        tree = ast.parse(source)
    found = [("", "module", text)] if (text := _docstring(tree.body)) else []
    for node, prefix, inside_class in _definitions(tree.body, "", False):
        text = _docstring(node.body)
        if text:
            kind = "class" if isinstance(node, ast.ClassDef) else "method" if inside_class else "function"
            found.append((prefix + node.name, kind, text))
    return found


def _definitions(
    body: list[ast.stmt], prefix: str, inside_class: bool
) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, str, bool]]:
    """Every class and function below `body`, also those under `if`, `try`, `with` and loops; an explicit stack, since
    a file may nest deeper than Python recurses."""
    stack = [(statement, prefix, inside_class) for statement in reversed(body)]
    while stack:
        node, prefix, inside_class = stack.pop()
        if isinstance(node, (ast.ClassDef, *_FUNCTIONS)):
            yield node, prefix, inside_class
            prefix, inside_class = f"{prefix}{node.name}.", isinstance(node, ast.ClassDef)
        below: list[ast.stmt] = []
        for field in ("body", "handlers", "orelse", "finalbody", "cases"):
            part = getattr(node, field, None)
            if isinstance(part, list):  # a lambda's or conditional expression's body is no list
                below.extend(part)
        stack.extend((statement, prefix, inside_class) for statement in reversed(below))


def _docstring(body: list[ast.stmt]) -> str:
    """The dedented docstring of a body, "" where there is none."""
    if not body or not isinstance(body[0], ast.Expr):
        return ""
    value = body[0].value
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return ""
    text = inspect.cleandoc(value.value).strip()
    # A lone surrogate ("\ud800") is no text: neither UTF-8 nor Arrow can hold it.
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


def parse_file(path: str) -> tuple[str | None, list[tuple[str, str, str]]]:
    """`parse_docstrings` of a file, or why it has none: "too large", "unreadable" or "no Python"."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            source = file.read(size) if size <= MAX_BYTES else b""
    except OSError:
        return "unreadable", []
    if size > MAX_BYTES:
        return "too large", []
    if b'"""' not in source and b"'''" not in source:  # a docstring in single quotes alone is not worth a parse
        return None, []
    try:
        return None, parse_docstrings(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "no Python", []


def main() -> None:
    gc.disable()  # trees of a file are freed by reference counts; the collector's passes cost a fifth of the time
    for path in filter(None, sys.stdin.read().split("\0")):
        sys.stdout.write(json.dumps(parse_file(path)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
