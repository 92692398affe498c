"""Run replications: find their folder, call their code, judge by their config, write evidence, page and picture."""

import datetime
import importlib.util
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from replications.bench.job import SECONDS, Job, Outcome
from replications.bench.page import index_page, page
from replications.bench.picture import dots_chart
from replications.bench.verdict import Config, Passed, judge, read_config
from vecsmith.atomic import write_json, write_text
from vecsmith.errors import UsageError

__all__ = ["keys", "replicate"]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "replications"
LEAST_SEEDS = 3


def keys() -> list[str]:
    """Every replication there is: folders with a config and a run, by row."""
    found = [each.parent for each in FOLDER.glob("*/config.toml") if (each.parent / "run.py").is_file()]
    return [each.name for each in sorted(found, key=lambda each: read_config(each / "config.toml").row)]


def replicate(job: Job, *, root: Path = ROOT, write: bool = True) -> dict[str, Any]:
    """Run one replication and return its evidence; where it counts, write it with its page and picture.

    root     the checkout to write into
    write    False, a quick job, another bed or fewer than three seeds write nothing
    raises   UsageError: no such replication, or an exactness check failed (the code is not what it says: no evidence)
    """
    folder = FOLDER / job.key
    if not (folder / "config.toml").is_file() or not (folder / "run.py").is_file():
        raise UsageError(f'no replication "{job.key}" in {FOLDER}; there are: {", ".join(keys()) or "none"}')
    config = read_config(folder / "config.toml")
    module = _module(folder / "run.py", job.key)
    outcome: Outcome = module.replicate(job)
    evidence = _evidence(config, job, outcome)
    broken = [check for check in evidence["checks"] if check["kind"] == "exactness" and not check["passed"]]
    if broken and not job.quick:
        words = "; ".join(f"{check['name']}: wanted {check['accept']}, found {check['found']}" for check in broken)
        raise UsageError(f"{job.key} is not computed as written, so that its figures say nothing: {words}")
    counts = not job.quick and not outcome.bed.get("other") and len(set(job.seeds)) >= LEAST_SEEDS
    if write and counts:
        _write(evidence, root)
    return evidence


def _module(file: Path, key: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"replications.{key}.run", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _evidence(config: Config, job: Job, outcome: Outcome) -> dict[str, Any]:
    """The evidence file as a dict, in the order in which a person reads it."""
    passed = judge(config, outcome)
    arms: dict[str, dict[str, list[float]]] = {}
    seconds = 0.0
    for name, seeds in outcome.results.items():
        seconds += sum(float(each.get(SECONDS, 0.0)) for each in seeds)
        measures = [measure for measure in seeds[0] if measure != SECONDS]
        arms[name] = {measure: [round(float(np.mean(each[measure])), 5) for each in seeds] for measure in measures}
    return {
        "row": config.row,
        "key": config.key,
        "paper": config.paper,
        "claim": config.claim,
        "verdict": passed.verdict,
        "words": passed.words,
        "metric": config.headline["metric"],
        "figure": round(passed.deciding.mean, 5),
        "low": round(passed.deciding.low, 5),
        "high": round(passed.deciding.high, 5),
        "baseline": config.baseline,
        "against": config.headline["against"],
        "seeds": list(job.seeds),
        "arms": arms,
        "checks": passed.checks,
        "values": {name: np.round(value, 6).tolist() for name, value in outcome.values.items()},
        "notes": [*_headline(config, passed), *outcome.notes],
        "open": list(config.open),
        "bed": outcome.bed,
        "date": datetime.date.today().isoformat(),
        "minutes": round(seconds / 60, 1),
        "machine": _machine(),
        "revision": _revision(),
        "command": f"vecsmith replicate {config.key}",
    }


def _headline(config: Config, passed: Passed) -> list[str]:
    """The headline difference, where another decided the verdict."""
    if passed.deciding is passed.headline:
        return []
    found = passed.headline
    return [f"{config.headline['words']}: {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"]


def _write(evidence: dict[str, Any], root: Path) -> None:
    """Evidence into the package; page, picture and index into the documentation."""
    package, docs = root / "src" / "vecsmith" / "evidence", root / "docs" / "evidence"
    docs.mkdir(parents=True, exist_ok=True)
    write_json(package / f"{evidence['key']}.json", evidence)
    write_text(docs / f"{evidence['key']}.md", page(evidence))
    measured = {name: each[evidence["metric"]] for name, each in evidence["arms"].items() if evidence["metric"] in each}
    write_text(docs / f"{evidence['key']}.svg", dots_chart(measured, evidence["against"], evidence["metric"]))
    every = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(package.glob("*.json"))]
    write_text(docs / "index.md", index_page(every))


def _machine() -> str:
    """Processor and cores, in words."""
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"


def _revision() -> str:
    """The checkout's commit, with + where files differ from it; "unknown" outside git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + (
            "+" if _git("status", "--porcelain", "--untracked-files=no", "--", "src", "replications") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
