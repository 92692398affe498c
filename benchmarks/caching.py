"""What does gradient caching cost: processor seconds a pair at 8 times the batch, in chunks of the small batch?

    python benchmarks/caching.py [--data-root FOLDER] [--quick] [--json OUT] [--threads 1]

all-MiniLM-L6-v2 on titles against authors of arXiv (short pairs), InfoNCE at temperature 0.05: batches of 32 pairs
encoded at once, against batches of 256 pairs cached over chunks of 32 inputs; run in turns. Goal: at most 1.5 times the
seconds a pair. A forward pass more is a third more; the larger batch saves optimiser steps, and sorts nothing.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from _side_by_side import Timing, data_root, processor_class, write_result

from training import arguments_of, read_pairs, timed
from vecsmith.data.columns import RecordColumns
from vecsmith.models.load import load
from vecsmith.training.collate import TrainingSet
from vecsmith.training.objective import StageObjective
from vecsmith.training.trainer import BatchTrainer

SMALL, TIMES, STEPS = 32, 8, 2


def main() -> int:
    """Run both in turns, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="two rounds in place of five")
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pairs = SMALL * TIMES * STEPS
    data = read_pairs(data_root(arguments.data_root), "title", "authors", pairs * 2)
    training_set = TrainingSet(data, RecordColumns(data, kind="retrieval"))
    ways = {"whole": (SMALL, TIMES * STEPS, None), "cached": (SMALL * TIMES, STEPS, SMALL)}
    timings = {name: Timing([], []) for name in ways}
    for number in range((2 if arguments.quick else 5) + 1):
        for name, (batch, steps, chunk) in ways.items():
            processor, wall = run(training_set, batch, steps, chunk)
            if number:
                timings[name].processor.append(processor)
                timings[name].wall.append(wall)
    rounds = [b / a for a, b in zip(timings["whole"].processor, timings["cached"].processor, strict=True)]
    ratio = statistics.median(rounds)
    print(f"{processor_class()}, threads: {arguments.threads}, {pairs} pairs, processor seconds")
    for name, (batch, steps, chunk) in ways.items():
        print(f"{name:<7} {steps:>3} steps of {batch:>3}, chunks of {chunk or batch:>3}: {timings[name].median:.2f} s")
    print(f"cached / whole, a pair: {ratio:.2f} (goal 1.5), rounds {', '.join(format(each, '.2f') for each in rounds)}")
    write_result(
        arguments.json,
        "caching",
        arguments.threads,
        goals={"ratio": 1.5},
        pairs=pairs,
        seconds={name: timing.median for name, timing in timings.items()},
        ratio=ratio,
        rounds=rounds,
    )
    return 0


def run(training_set: TrainingSet, batch: int, steps: int, chunk: int | None) -> tuple[float, float]:
    objective: Any = StageObjective({"retrieval": [{"info_nce": {"temperature": 0.05}}]})
    with tempfile.TemporaryDirectory() as folder:
        trainer = BatchTrainer(
            load("all-MiniLM-L6-v2"),
            arguments_of(folder, batch, steps),
            [training_set],
            objective,
            mini_batch_size=chunk,
        )
        return timed(trainer)[:2]


if __name__ == "__main__":
    sys.exit(main())
