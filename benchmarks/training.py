"""Do we train as fast as sentence-transformers' own trainer: pairs per processor second, same batches, same losses?

    python benchmarks/training.py [--data-root FOLDER] [--quick] [--json OUT]

Both start from the same weights, take the same rows in the same order and the same optimiser steps: InfoNCE at
temperature 0.05, which the stock trainer calls MultipleNegativesRankingLoss with scale 20. They are run in turns. The
timed runs have the models' dropout; the loss curves are compared in one more run of each without it, step by step.
Goals: 1.15 times as many pairs a second on AVX2, never fewer. The limit is the matrix products of
the real tokens (three passes: forward, and two backward) at the rate this machine reaches at those shapes.
"""

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _side_by_side import Timing, arxiv_texts, data_root, processor_class, ratio, write_result

from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.data.sampler import EpochSampler
from vecsmith.models.load import load
from vecsmith.training.collate import TrainingSet, source_of
from vecsmith.training.objective import StageObjective
from vecsmith.training.trainer import BatchTrainer

JOBS = {  # model, query field, document field, batch, steps
    "MiniLM, title to abstract": ("all-MiniLM-L6-v2", "title", "abstract", 32, 3),
    "MiniLM, title to authors": ("all-MiniLM-L6-v2", "title", "authors", 64, 4),
    "static default, title to abstract": ("default", "title", "abstract", 256, 30),
}


def main() -> int:
    """Run all jobs in turns, print the table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="two rounds in place of five")
    parser.add_argument("--only", help="only the jobs whose name holds this")
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rounds = 2 if arguments.quick else 5
    print(f"{processor_class()}, threads: {arguments.threads}, processor seconds (medians of rounds taken in turns)\n")
    print(f"{'job':<34} {'pairs':>6} {'ours':>7} {'stock':>7} {'ratio':>6} {'limit':>7}  largest difference of losses")
    results = []
    for name, (model, query, document, batch, steps) in JOBS.items():
        if arguments.only and arguments.only not in name:
            continue
        pairs = read_pairs(data_root(arguments.data_root), query, document, batch * steps * 2)
        results.append(job(name, model, pairs, batch, steps, rounds))
        print(line(results[-1]), flush=True)
    write_result(arguments.json, "training", arguments.threads, goals={"ratio": 1.15}, jobs=results)
    return 0


def read_pairs(root: Path, query: str, document: str, count: int) -> Dataset:
    """Pairs of distinct texts: ours would mask a text that stands twice in a batch, the stock loss calls it wrong."""
    sides = [arxiv_texts(root, field, count) for field in (query, document)]
    seen: set[str] = set()
    with Dataset.build(name="pairs") as builder:
        for pair in zip(*sides, strict=True):
            if seen.isdisjoint(pair):
                builder.add_record(query=pair[0], positives=[pair[1]])
            seen.update(pair)
        return builder.finish()


def job(name: str, model: str, data: Dataset, batch: int, steps: int, rounds: int) -> dict[str, Any]:
    training_set = TrainingSet(data, RecordColumns(data, kind="retrieval"))
    ways = {"ours": run_ours, "stock": run_stock}
    timings = {each: Timing([], []) for each in ways}
    for number in range(rounds + 1):
        for each, run in ways.items():
            processor, wall, _ = run(load(model), training_set, batch, steps)
            if number:
                timings[each].processor.append(processor)
                timings[each].wall.append(wall)
    curves = {each: run(without_dropout(load(model)), training_set, batch, steps)[2] for each, run in ways.items()}
    return {
        "job": name,
        "pairs": batch * steps,
        "seconds": {each: timing.median for each, timing in timings.items()},
        "pairs_per_second": {each: batch * steps / timing.median for each, timing in timings.items()},
        "ratio": ratio(timings, "stock", "ours"),
        "limit_seconds": limit(model, training_set, batch, steps),
        "losses_without_dropout": curves,
        "largest_difference": float(np.abs(np.subtract(curves["ours"], curves["stock"])).max()),
    }


def without_dropout(model: Any) -> Any:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def arguments_of(folder: str, batch: int, steps: int, **more: Any) -> Any:
    from sentence_transformers import SentenceTransformerTrainingArguments

    return SentenceTransformerTrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=batch,
        max_steps=steps,
        learning_rate=2e-5,
        warmup_steps=2,
        seed=0,
        data_seed=0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        **more,
    )


def run_ours(model: Any, training_set: TrainingSet, batch: int, steps: int) -> tuple[float, float, list]:
    objective = StageObjective({"retrieval": [{"info_nce": {"temperature": 0.05}}]})
    with tempfile.TemporaryDirectory() as folder:
        arguments = arguments_of(folder, batch, steps)
        return timed(BatchTrainer(model, arguments, [training_set], objective))


def run_stock(model: Any, training_set: TrainingSet, batch: int, steps: int) -> tuple[float, float, list]:
    from datasets import Dataset as Table
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from torch.utils.data import BatchSampler, SequentialSampler

    queries, documents = texts_in_order(training_set, batch, steps)

    def in_order(dataset: Any, batch_size: int, drop_last: bool, **_: Any) -> BatchSampler:
        return BatchSampler(SequentialSampler(dataset), batch_size=batch_size, drop_last=drop_last)

    with tempfile.TemporaryDirectory() as folder:
        return timed(
            SentenceTransformerTrainer(
                model,
                arguments_of(folder, batch, steps, batch_sampler=in_order),
                train_dataset=Table.from_dict({"anchor": queries, "positive": documents}),
                loss=MultipleNegativesRankingLoss(model, scale=20.0),
            )
        )


def timed(trainer: Any) -> tuple[float, float, list[float]]:
    """Processor and wall seconds of `train`, and the loss of each step."""
    processor, wall = time.process_time(), time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):  # the stock trainer prints every step
        trainer.train()
    seconds = time.process_time() - processor, time.perf_counter() - wall
    return *seconds, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def texts_in_order(training_set: TrainingSet, batch: int, steps: int) -> tuple[list[str], list[str]]:
    """The pairs in the order in which our sampler draws them."""
    rows = np.concatenate([draw.rows for draw in EpochSampler([source_of(training_set)], batch_size=batch, seed=0)])
    records = training_set.dataset.records
    chosen = training_set.columns.rows[rows[: batch * steps]]
    queries = records.column("query").to_numpy()[chosen]
    positives = np.array([found[0] for found in records.column("positives").to_pylist()])[chosen]
    return training_set.dataset.texts(queries), training_set.dataset.texts(positives)


def limit(model: str, training_set: TrainingSet, batch: int, steps: int) -> float | None:
    """Processor seconds of the matrix products alone, at the measured rate; None for a static model, which has none."""
    found = load(model)
    if not hasattr(found[0], "model"):
        return None
    config, parts = found[0].model.config, texts_in_order(training_set, batch, steps)
    lengths = np.array([len(ids) for side in parts for ids in found.tokenizer(side, truncation=True)["input_ids"]])
    width, inner = config.hidden_size, config.intermediate_size
    linear = 2 * (4 * width * width + 2 * width * inner) * lengths.sum()
    attention = 4 * width * (lengths.astype(float) ** 2).sum()
    return float(3 * config.num_hidden_layers * (linear + attention) / product_rate(int(lengths.mean() * batch), width))


def product_rate(rows: int, width: int) -> float:
    """Floating-point operations per processor second of [rows, width] @ [width, 4 width]."""
    left, right = torch.randn(rows, width), torch.randn(width, 4 * width)
    times = []
    for _ in range(9):
        start = time.process_time()
        for _ in range(5):
            left @ right
        times.append((time.process_time() - start) / 5)
    return 2 * rows * width * 4 * width / statistics.median(times)


def line(found: dict[str, Any]) -> str:
    seconds, bound = found["seconds"], found["limit_seconds"]
    return (
        f"{found['job']:<34} {found['pairs']:>6,} {seconds['ours']:>7.2f} {seconds['stock']:>7.2f} "
        f"{found['ratio']:>6.2f} {'-' if bound is None else format(bound, '.2f'):>7}  "
        f"{found['largest_difference']:.1e}"
    )


if __name__ == "__main__":
    sys.exit(main())
