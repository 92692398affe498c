"""What int8 gains and costs: all-MiniLM-L6-v2 by `vecsmith.load(dtype="int8")` beside sentence-transformers.

    python benchmarks/int8.py [--data-root FOLDER] [--quick] [--no-loss] [--json OUT]

Processor seconds of one core, in turns. Goals: 2.3 times sentence-transformers' default `encode` on titles, 1.7 times
on abstracts. Then the loss on STS-B and SciFact against float32, with 95 % intervals (minutes; --no-loss and --quick
leave it out). Needs the extras onnx and minilm.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = "1"

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _side_by_side import arxiv_texts, data_root, installed, processor_class, ratio, take_turns, write_result

import vecsmith as vs
from vecsmith.models.export.int8 import has_wide_sums

MODEL = "all-MiniLM-L6-v2"
GOALS = {"titles": 2.3, "abstracts": 1.7}
PLAIN = "sentence-transformers"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="a fifth of the texts, three rounds, no loss")
    parser.add_argument("--no-loss", action="store_true", help="only the speed")
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    arguments = parser.parse_args()
    root, share, rounds = data_root(arguments.data_root), 5 if arguments.quick else 1, 3 if arguments.quick else 5
    models = {"vecsmith float32": vs.load(MODEL, device="cpu"), "vecsmith int8": vs.load(MODEL, dtype="int8")}
    for model in models.values():
        model.on_truncation = "cut"
    jobs = [
        job("titles", arxiv_texts(root, "title", 1_000 // share), models, rounds),
        job("abstracts", arxiv_texts(root, "abstract", 200 // share), models, rounds),
        job("one title", arxiv_texts(root, "title", 1), models, 5 * rounds),
    ]
    sums = "8-bit products added in 32 bits (VNNI)" if has_wide_sums() else "no VNNI: weights of 7 bits"
    print(f"{processor_class()}, {sums}, one core; processor seconds, medians of rounds taken in turns\n")
    print(f"{'job':<10} {'texts':>6} {'s-t':>8} {'float32':>8} {'int8':>8} {'ratio':>6} {'goal':>5} {'cosine':>8}")
    for found in jobs:
        print(line(found))
    print("\nratio: sentence-transformers' seconds over int8's; cosine: the lowest of an int8 vector with its own")
    loss = None if arguments.quick or arguments.no_loss else measured_loss(models, root)
    versions = {name: installed(name) for name in ("onnx", "onnxscript", "onnxruntime")}
    write_result(arguments.json, "int8", 1, model=MODEL, sums=sums, runtime=versions, goals=GOALS, jobs=jobs, loss=loss)
    return 0


def job(name: str, texts: list[str], models: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Seconds and ratios of one job; a single text is encoded 20 times a round."""
    from sentence_transformers import SentenceTransformer

    from vecsmith.models.names import resolve_name

    plain = SentenceTransformer(str(resolve_name(MODEL)), device="cpu")
    repeats = 1 if len(texts) > 1 else 20
    ways = {each: (lambda model=model: [model.encode(texts) for _ in range(repeats)]) for each, model in models.items()}
    timings = take_turns({PLAIN: lambda: [plain.encode(texts) for _ in range(repeats)], **ways}, rounds)
    exact, rounded = plain.encode(texts), models["vecsmith int8"].encode(texts)
    return {
        "job": name,
        "texts": len(texts) * repeats,
        "seconds": {each: timing.median for each, timing in timings.items()},
        "ratios": {each: ratio(timings, PLAIN, each) for each in models},
        "lowest_cosine": float(np.einsum("ij,ij->i", exact, rounded).min()),
    }


def measured_loss(models: dict[str, Any], root: Path) -> dict[str, Any]:
    """int8 against float32 on the two tasks that the contract names."""
    from vecsmith.evaluation.loss import loss_of

    found = loss_of(*models.values(), tasks=["STSBenchmark", "SciFact"], data_root=root, names=("float32", "int8"))
    for task, row in found.items():
        if isinstance(row, dict):
            low, high = row["interval"]
            print(
                f"{task}: {row['metric']} {row['float32']:.4f} in float32, {row['int8']:.4f} in int8, "
                f"{row['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
            )
    return found


def line(found: dict[str, Any]) -> str:
    seconds, goal = found["seconds"], GOALS.get(found["job"])
    return (
        f"{found['job']:<10} {found['texts']:>6,} {seconds[PLAIN]:>8.3f} {seconds['vecsmith float32']:>8.3f} "
        f"{seconds['vecsmith int8']:>8.3f} {found['ratios']['vecsmith int8']:>6.2f} {goal or '-':>5} "
        f"{found['lowest_cosine']:>8.4f}"
    )


if __name__ == "__main__":
    sys.exit(main())
