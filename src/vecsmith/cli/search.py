"""`vecsmith search`: ask an index. From a cold process it answers in under a processor second; no torch is imported."""

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vecsmith.cli.options import JSON

if TYPE_CHECKING:
    from vecsmith.index.result import Hit, Result

__all__ = ["command"]


def command(
    index: Annotated[Path, typer.Argument(help="The index folder.")],
    query: Annotated[str, typer.Argument(help="What to look for.")],
    where: Annotated[str | None, typer.Option(help="A filter: \"package = 'email' and length > 40\".")] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many.")] = 10,
    mode: Annotated[str | None, typer.Option(help="dense, lexical or fused; by default the index's own.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Another copy of the index's model; its contract is checked.")
    ] = None,
    fields: Annotated[str | None, typer.Option(help="Attributes to show: year,tags.")] = None,
    offset: Annotated[int, typer.Option(help="Leave out that many of the best.")] = 0,
    as_json: JSON = False,
) -> None:
    """Search an index.

    vecsmith search out/index "how do I reset it?"

    vecsmith search out/index "parse a date" --where "package = 'email'" --k 2 --fields package,kind
    """
    from vecsmith.index.index import Index

    names = [name.strip() for name in fields.split(",") if name.strip()] if fields is not None else None
    with Index.open(index, model) as opened:
        result = opened.search(query, k=k, mode=mode, where=where, fields=names, offset=offset)
    if as_json:
        print(json.dumps({"query": query, "where": where, **result.to_json()}, ensure_ascii=False, default=_plain))
    else:
        width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80
        print("\n".join(lines_of(result, names, max(60, width))))


def lines_of(result: "Result", names: list[str] | None, width: int) -> list[str]:
    """Score, id, heading or summary, snippet; the last line says how many of how many, how sure and how long."""
    hits = list(result)
    column = min(max((len(hit.id) for hit in hits), default=0), 40)
    digits = 2 if not hits or abs(hits[0].score) >= 0.1 else 4  # fused by ranks, scores are small
    lines = []
    for hit in hits:
        head = f"{hit.score:.{digits}f}  {hit.id:<{column}}  "
        lines.append(f"{head}{_cut(_heading(hit), max(20, width - len(head)))}".rstrip())
        rest = _rest(hit)
        if rest:
            lines.append(f"      {_cut(rest, width - 6)}")
        if names:
            shown = ", ".join(f"{name}={_shown(hit.fields[name])}" for name in names)
            lines.append(f"      {_cut(shown, width - 6)}")
    if not hits:
        lines.append(_nothing(result))
    return [*lines, result.summary()]


def _heading(hit: "Hit") -> str:
    """The heading or title where there is one, else the first line of the text."""
    for name in ("heading", "title"):
        if hit.fields.get(name):
            return str(hit.fields[name])
    return hit.text.strip().partition("\n")[0]


def _rest(hit: "Hit") -> str:
    """What follows the heading line, on one line."""
    first, _, rest = hit.text.strip().partition("\n")
    return " ".join((rest if _heading(hit) in (first, "") else hit.text)[:2000].split())


def _nothing(result: "Result") -> str:
    if not result.total:
        return "The index is empty; fill it with: vecsmith index add INDEX SOURCE"
    if not result.passing:
        return "No row passes the filter."
    return "No row holds a word of the query."


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line[: width + 1])
    return line if len(line) <= width else line[: width - 3].rstrip() + "..."


def _shown(value: object) -> str:
    return "-" if value is None else ",".join(value) if isinstance(value, list) else str(value)


def _plain(value: object) -> str:
    """Times in JSON, as ISO 8601."""
    return str(getattr(value, "isoformat", value.__str__)())
