"""How fast hard negatives are found, vectors given: vecsmith beside sentence-transformers and the product alone.

    python benchmarks/mining.py [--data-root FOLDER] [--quick] [--json OUT]

arXiv titles against abstracts, every negative compared. Vectors are those of the default model, put into 384 components
by one random rotation (inner products stay). The first 100 ranks, a relative margin of 0.05, the hardest 7. Goals: the
same negatives; at most 1.4 times the float32 product; not slower than sentence-transformers at its best batch size;
less than 0.4 GB beside the vectors. A pass in bfloat16 is not built yet.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import statistics
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from _side_by_side import arxiv_texts, data_root, processor_class, ratio, take_turns, write_result

from vecsmith.data.mining import MiningOptions, select_negatives
from vecsmith.models.names import resolve_name
from vecsmith.models.static import StaticEncoder
from vecsmith.topk import top_k

OPTIONS = MiningOptions(negatives=7, ranks=(0, 100), relative_margin=0.05)
DEPTH, BLOCK, PRODUCT = 102, 4_096, 1_024
GOALS = {"product": 1.4, "sentence-transformers": 1.0, "gigabytes": 0.4, "tied": 1e-6}


def main() -> int:
    """Compare negatives, time all ways, print, write; exit code 1 where a negative differs by more than a tie."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="4,000 pairs, three rounds")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    arguments = parser.parse_args()
    queries, documents = vectors(data_root(arguments.data_root), 4_000 if arguments.quick else 46_000)
    ways: dict[str, Any] = {
        "product": lambda: product(queries, documents),
        "vecsmith": lambda: ours(queries, documents),
        **{f"s-t {size}": lambda size=size: theirs(queries, documents, size) for size in (512, 4_096)},
    }
    differ, gap = differences(queries, documents)
    extra = memory(queries, documents)
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    timings = take_turns(ways, rounds)
    stock = min((name for name in ways if name.startswith("s-t")), key=lambda name: timings[name].median)
    ratios = {"to the product": ratio(timings, "vecsmith", "product"), "to s-t": ratio(timings, "vecsmith", stock)}
    print(f"{processor_class()}, one core, {len(queries):,} x {len(documents):,} x {queries.shape[1]}, {rounds} rounds")
    for name, timing in timings.items():
        print(
            f"{name:<10} {timing.median:>8.2f} s (median; {min(timing.processor):.2f} to {max(timing.processor):.2f})"
        )
    print(f"vecsmith {ratios['to the product']:.2f} times the product, {ratios['to s-t']:.2f} times {stock}")
    print(
        f"{differ:,} queries differ from s-t; largest gap of their scores {gap:.1e}; {extra:.2f} GB beside the vectors"
    )
    spread = {name: [min(timing.processor), max(timing.processor)] for name, timing in timings.items()}
    write_result(
        arguments.json,
        "mining",
        1,
        goals=GOALS,
        vectors="default model, rotated into 384 components",
        pairs=len(queries),
        width=int(queries.shape[1]),
        rounds=rounds,
        seconds={name: statistics.median(timing.processor) for name, timing in timings.items()},
        spread=spread,
        best_stock=stock,
        ratios=ratios,
        queries_that_differ=differ,
        largest_gap=gap,
        extra_gigabytes=extra,
        bfloat16="not built",
    )
    return 0 if gap <= GOALS["tied"] else 1


def vectors(root: Path, count: int) -> tuple[Any, Any]:
    """Titles and abstracts, float32 [count, 384] of unit length; equal texts once, so that pairs stay pairs."""
    titles, abstracts = arxiv_texts(root, "title", count), arxiv_texts(root, "abstract", count)
    firsts = {title: place for place, title in reversed(list(enumerate(titles)))}
    seen = {abstracts[place]: place for place in firsts.values()}
    places = sorted(seen.values())
    encoder = StaticEncoder.open(resolve_name("default"))
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((384, encoder.dimension)))
    sides = ([titles[place] for place in places], [abstracts[place] for place in places])
    found = [(encoder.encode(texts) @ rotation.T).astype(np.float32) for texts in sides]
    return tuple(side / np.linalg.norm(side, axis=1, keepdims=True) for side in found)


def product(queries: Any, documents: Any) -> None:
    for start in range(0, len(queries), PRODUCT):
        queries[start : start + PRODUCT] @ documents.T


def ours(queries: Any, documents: Any) -> tuple[Any, Any]:
    """Rows and scores of the negatives."""
    parts = []
    for start in range(0, len(queries), BLOCK):
        some = queries[start : start + BLOCK]
        rows, scores = top_k(some, documents, DEPTH)
        own = np.arange(start, start + len(some))
        positive = np.einsum("ij,ij->i", some, documents[own])
        found = select_negatives(
            rows,
            scores,
            is_known=rows == own[:, None],
            smallest_positive=positive,
            largest_positive=positive,
            options=OPTIONS,
        )
        parts.append((found.rows, found.scores))
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])


def theirs(queries: Any, documents: Any, batch: int) -> Any:
    """`mine_hard_negatives` with a model that hands out the vectors; [query number, positive, negatives]."""
    import contextlib
    import io

    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    names = Dataset.from_dict(
        {"query": [f"q{n}" for n in range(len(queries))], "answer": [f"d{n}" for n in range(len(documents))]}
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return mine_hard_negatives(
            names,
            Given(queries, documents),
            range_max=100,
            relative_margin=0.05,
            num_negatives=7,
            faiss_batch_size=batch,
            output_format="labeled-list",
            verbose=False,
        )


class Given:
    """As much of a SentenceTransformer as mining asks for."""

    def __init__(self, queries: Any, documents: Any) -> None:
        import torch
        from sentence_transformers import util

        self.device, self.queries, self.documents = torch.device("cpu"), queries, documents
        self.similarity, self.similarity_pairwise = util.dot_score, util.pairwise_dot_score

    def encode_query(self, texts: list[str], **_: Any) -> Any:
        return self.queries

    def encode_document(self, texts: list[str], **_: Any) -> Any:
        return self.documents


def differences(queries: Any, documents: Any) -> tuple[int, float]:
    """Queries whose negatives differ, and the largest difference of the scores at the same place."""
    rows, _ = ours(queries, documents)
    stock = theirs(queries, documents, 512)
    lists: dict[int, list[int]] = {}
    for entry in stock:
        lists[int(entry["query"][1:])] = [int(name[1:]) for name in entry["answer"][1:]]
    differ, gap = 0, 0.0
    for query in range(len(queries)):
        mine, other = rows[query][rows[query] >= 0].tolist(), lists.get(query, [])
        if mine == other:
            continue
        differ += 1
        if len(mine) != len(other):
            short, own = min(len(mine), len(other)), queries[query] @ documents[query]
            rest = (mine if len(mine) > len(other) else other)[short:]
            gap = max(gap, *(abs(float(queries[query] @ documents[row]) - 0.95 * float(own)) for row in rest))
        for a, b in zip(mine, other, strict=False):
            gap = max(gap, abs(float(queries[query] @ (documents[a] - documents[b]))))
    return differ, gap


def memory(queries: Any, documents: Any) -> float:
    """Gigabytes that mining holds at most beside the vectors, of numpy's arrays."""
    tracemalloc.start()
    ours(queries, documents)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e9


if __name__ == "__main__":
    sys.exit(main())
