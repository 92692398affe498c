"""Run several ways to do one job in turns, so that a noisy machine is noisy for all of them, and report medians."""

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("vecsmith", "torch", "transformers", "sentence-transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class Timing:
    """Processor seconds (all threads) and wall seconds of each round of one way."""

    processor: list[float]
    wall: list[float]

    @property
    def median(self) -> float:
        """Median processor seconds."""
        return statistics.median(self.processor)


def take_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time every way `rounds` times, one after the other in each round, after one round that does not count."""
    timings = {name: Timing([], []) for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            processor, wall = time.process_time(), time.perf_counter()
            way()
            if number:
                timings[name].processor.append(time.process_time() - processor)
                timings[name].wall.append(time.perf_counter() - wall)
    return timings


def ratio(timings: Mapping[str, Timing], slow: str, fast: str) -> float:
    """How many times the processor seconds of `fast` does `slow` take: the median over rounds, each within itself."""
    pairs = zip(timings[slow].processor, timings[fast].processor, strict=True)
    return statistics.median(a / b for a, b in pairs)


def processor_class() -> str:
    """AMX, AVX-512, AVX2 or the machine's name: the widest instructions that this process may use."""
    held = os.environ.get("ATEN_CPU_CAPABILITY")
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0].split()
    except OSError:
        return platform.machine()
    known = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}
    found = next((name for flag, name in known.items() if flag in flags), platform.machine())
    return f"{found} held to {held.upper()}" if held and held.upper() not in found else found


def write_result(path: Path | None, benchmark: str, threads: int, **content: Any) -> None:
    """Write the dated result, where a path is given."""
    if path is None:
        return
    head = {
        "benchmark": benchmark,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": f"{processor_class()}, {os.cpu_count()} cores, {threads} thread{'s' if threads > 1 else ''}",
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in PACKAGES},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**head, **content}, indent=2) + "\n", encoding="utf-8")


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def arxiv_texts(root: Path, field: str, count: int) -> list[str]:
    """Titles or abstracts of `arxiv_cs` below the data root."""
    from itertools import islice

    from vecsmith.data.readers.table_formats import read_json_lines

    rows = islice(read_json_lines(root / "arxiv_cs" / "arxiv_cs.jsonl.gz"), count)
    return [str(cells[field]) for _, cells in rows]


def data_root(given: Path | None) -> Path:
    """--data-root, VECSMITH_DATA, or `shared/data` beside the checkout."""
    return Path(given or os.environ.get("VECSMITH_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
