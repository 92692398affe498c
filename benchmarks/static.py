"""How fast a static model encodes: vecsmith beside plain sentence-transformers and model2vec, same file, one core.

    python benchmarks/static.py [--data-root FOLDER] [--quick] [--json OUT]

The model is the shipped default. Vectors are compared with those of sentence-transformers: they must be equal within
2e-6. Goals: at least 1.5 times plain sentence-transformers, and not slower than model2vec (`pip install model2vec`;
left out where it is missing). The limit is what is left when tokenising costs nothing: gathering and adding the token
vectors alone.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["RAYON_NUM_THREADS"] = "1"

import argparse
import sys
from pathlib import Path

import numpy as np
from _side_by_side import arxiv_texts, data_root, processor_class, ratio, take_turns, write_result

from vecsmith.models.names import resolve_name
from vecsmith.models.static import StaticEncoder
from vecsmith.models.token_means import token_means

GOALS = {"sentence-transformers": 1.5, "model2vec": 1.0}


def main() -> int:
    """Time all jobs, print the table, write the result; exit code 1 where vectors differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the texts, three rounds")
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    arguments = parser.parse_args()
    root, share, rounds = data_root(arguments.data_root), 10 if arguments.quick else 1, 3 if arguments.quick else 7
    jobs = {
        "titles": arxiv_texts(root, "title", 40_000 // share),
        "abstracts": arxiv_texts(root, "abstract", 10_000 // share),
        "one title": arxiv_texts(root, "title", 1),
    }
    results = [job(name, texts, rounds if len(texts) > 1 else 3 * rounds) for name, texts in jobs.items()]
    print(f"{processor_class()}, one core, processor seconds (medians of rounds taken in turns)\n")
    print(
        f"{'job':<10} {'texts':>6} {'vecsmith':>9} {'s-t':>9} {'ratio':>6} {'model2vec':>9} {'ratio':>6} {'limit':>9}"
    )
    for found in results:
        print(line(found))
    print("\ngoals: 1.5 times sentence-transformers, 1.0 times model2vec; largest difference", worst(results))
    write_result(arguments.json, "static", 1, goals=GOALS, jobs=results)
    return 0 if worst(results) <= 2e-6 else 1


def job(name: str, texts: list[str], rounds: int) -> dict:
    """Seconds and ratios of one job. A fresh encoder each round, so that no words are remembered from the last one."""
    from sentence_transformers import SentenceTransformer

    folder = resolve_name("default")
    plain = SentenceTransformer(str(folder), device="cpu")
    repeats = 1 if len(texts) > 1 else 2_000
    encoders = iter([StaticEncoder.open(folder) for _ in range(rounds + 1)])
    ways = {
        "vecsmith": lambda: encode_with(next(encoders), texts, repeats),
        "sentence-transformers": lambda: [plain.encode(texts) for _ in range(repeats)],
        **model2vec_way(folder, texts, repeats),
    }
    timings = take_turns(ways, rounds)
    vectors = StaticEncoder.open(folder).encode(texts)
    ours = timings["vecsmith"].median
    return {
        "job": name,
        "texts": len(texts) * repeats,
        "seconds": {each: timing.median for each, timing in timings.items()},
        "ratios": {each: ratio(timings, each, "vecsmith") for each in timings if each != "vecsmith"},
        "limit_seconds": limit(folder, texts) * repeats,
        "share_of_limit": limit(folder, texts) * repeats / ours,
        "largest_difference": float(np.abs(vectors - plain.encode(texts)).max()),
    }


def encode_with(encoder: StaticEncoder, texts: list[str], repeats: int) -> None:
    for _ in range(repeats):
        encoder.encode(texts)


def model2vec_way(folder: Path, texts: list[str], repeats: int) -> dict:
    try:
        from model2vec import StaticModel
        from tokenizers import Tokenizer
    except ImportError:
        return {}
    encoder = StaticEncoder.open(folder)
    model = StaticModel(np.array(encoder._table), Tokenizer.from_file(str(folder / "tokenizer.json")), normalize=True)
    return {
        "model2vec": lambda: [model.encode(texts, max_length=None, use_multiprocessing=False) for _ in range(repeats)]
    }


def limit(folder: Path, texts: list[str]) -> float:
    """Processor seconds of gathering and adding the token vectors of texts that are tokenised already."""
    encoder = StaticEncoder.open(folder)
    ids = encoder._ids(texts)
    lengths = np.array([len(found) for found in ids], dtype=np.int64)
    flat = np.concatenate([np.array(found, dtype=np.int64) for found in ids])
    times = take_turns({"sum": lambda: [token_means(encoder._table, flat, lengths) for _ in range(3)]}, 3)
    return times["sum"].median / 3


def line(found: dict) -> str:
    seconds, ratios = found["seconds"], found["ratios"]
    model2vec = f"{seconds['model2vec']:>9.3f} {ratios['model2vec']:>6.2f}" if "model2vec" in ratios else f"{'-':>16}"
    return (
        f"{found['job']:<10} {found['texts']:>6,} {seconds['vecsmith']:>9.3f} {seconds['sentence-transformers']:>9.3f} "
        f"{ratios['sentence-transformers']:>6.2f} {model2vec} {found['limit_seconds']:>9.3f}"
    )


def worst(results: list[dict]) -> float:
    return max(found["largest_difference"] for found in results)


if __name__ == "__main__":
    sys.exit(main())
