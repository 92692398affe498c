"""Run every benchmark beside this file and say what ran and where its results went.

    python benchmarks/run_all.py [--quick] [--only NAME] [--results FOLDER]

Every script takes --json FILE (a dated summary) and --quick (a smaller job; one without is left out then). Exit code 1
where one fails.
"""

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent


class Ran(NamedTuple):
    """One script: its exit code (None: left out), wall seconds, and the file it left, if any."""

    name: str
    code: int | None
    seconds: float
    result: Path | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="pass --quick to every script")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this script; may be repeated")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the summaries go")
    arguments = parser.parse_args()
    found = scripts()
    unknown = sorted(set(arguments.only or ()) - set(found))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(found)}")
    arguments.results.mkdir(parents=True, exist_ok=True)
    chosen = {name: script for name, script in found.items() if not arguments.only or name in arguments.only}
    ran = [run(name, script, arguments.results, arguments.quick) for name, script in chosen.items()]
    print("\n".join(table(ran)))
    return 1 if any(each.code for each in ran) else 0  # None, left out, is no failure


def scripts(folder: Path = HERE) -> dict[str, Path]:
    """Name -> script, in the order of names; this file and those that open with _ are left out."""
    return {
        file.stem: file
        for file in sorted(folder.glob("*.py"))
        if file.name != Path(__file__).name and not file.name.startswith("_")
    }


def run(name: str, script: Path, results: Path, quick: bool) -> Ran:
    """Run one script to its end; its output passes through. Left out where it has no quick version and one is asked."""
    if quick and '"--quick"' not in script.read_text(encoding="utf-8"):
        return Ran(name, None, 0.0, None)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    result = results / (f"{name}.quick.json" if quick else f"{name}-{today}.json")
    before = result.stat().st_mtime_ns if result.exists() else None
    print(f"== {name}", flush=True)
    command = [sys.executable, str(script), "--json", str(result), *(["--quick"] if quick else [])]
    start = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    written = result.exists() and result.stat().st_mtime_ns != before
    return Ran(name, code, time.monotonic() - start, result if written else None)


def table(ran: list[Ran]) -> list[str]:
    """What ran, how it ended, how long it took, where its result is."""
    width = max([len("benchmark"), *(len(each.name) for each in ran)])
    lines = ["", f"{'benchmark':<{width}}  {'ended':<24}  {'seconds':>7}  result"]
    for each in ran:
        ended = "left out, has no --quick" if each.code is None else f"failed ({each.code})" if each.code else "ok"
        lines.append(f"{each.name:<{width}}  {ended:<24}  {each.seconds:>7.0f}  {each.result or '-'}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
