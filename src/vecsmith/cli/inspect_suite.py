"""Every line of a collection read, and a table that says whether it gave what it must."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.cli.inspect_text import fit, table
from vecsmith.errors import VecsmithError

if TYPE_CHECKING:
    from vecsmith.data.collection import Collection, Line
    from vecsmith.progress import Progress

__all__ = ["check_lines"]


def check_lines(collection: "Collection", root: Path, limit: int | None, progress: "Progress", as_json: bool) -> int:
    """Print the table, or a JSON document; 1 where a line could not be read or gave other counts, else 0."""
    results = []
    with progress.task(f"reading {collection.name}", total=len(collection.lines), unit="lines") as task:
        for line in collection.lines:
            results.append(_check(line, root, limit))
            task.advance()
    folders = {line.folder for line in collection.lines}
    unread = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name not in folders)
    bad = [result for result in results if result["verdict"] not in ("as stated", "read", "in part")]
    if as_json:
        print(json.dumps({"lines": results, "folders_without_a_line": unread}, indent=2, ensure_ascii=False))
        return 1 if bad else 0
    rows = [("folder", "line", "kind", "rows", "verdict")]
    rows += [
        (result["folder"][:18], result["line"][:27], result["kind"][:9], f"{result['size']:,}", result["verdict"])
        for result in results
    ]
    print("\n".join(table(rows, right=(3,))))
    for result in bad:
        print(f"\n{result['line']}: {result['words']}")
    print(f"\n{len(results)} lines of {len(folders)} folders, {len(results) - len(bad)} as they should be")
    if limit is not None:
        print(f"in part: only the first {limit:,} rows of each file were read; counts were compared where that is all")
    if unread:
        print(fit(f"folders without a line: {', '.join(unread)}"))
    return 1 if bad else 0


def _check(line: "Line", root: Path, limit: int | None) -> dict[str, Any]:
    from vecsmith.data.collection import read_line

    result: dict[str, Any] = {"folder": line.folder, "line": line.name, "kind": line.kind, "size": 0, "words": ""}
    try:
        read = read_line(line, root, limit=limit)
    except VecsmithError as error:
        return {**result, "counts": {}, "verdict": "not read", "words": str(error)}
    counts = dict(read.counts)
    size = counts.get("rows") or counts.get("images") or counts.get("documents", 0)
    differences = line.differences(counts) if read.whole else []
    verdict = "in part" if not read.whole else "differs" if differences else "as stated" if line.expect else "read"
    return {**result, "size": size, "counts": counts, "verdict": verdict, "words": "; ".join(differences)}
