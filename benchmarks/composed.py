"""A recipe that no paper has, against its parts: `composed`, and its profiles plain, focal, soft and matryoshka.

    python benchmarks/composed.py --data DATA --work WORK [--teacher CROSS_ENCODER] [--seeds 3] [--quick] [--json OUT]

Each arm and seed is trained by the shipped recipe into its own folder and judged at three depths and widths on the
test questions of WikiQA (MRR of the first answer among a question's own sentences; nDCG of the teacher's order) and on
the test pairs of the STS benchmark, which no arm trains on. What is finished is not done again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _side_by_side import write_result
from numpy.typing import NDArray
from scipy.stats import spearmanr

from vecsmith.atomic import write_json
from vecsmith.data.pairs.transform import transformed
from vecsmith.data.read import read
from vecsmith.evaluation.layer_grid import layer_grid
from vecsmith.forging.train import train
from vecsmith.models.load import load
from vecsmith.models.scorers import score_dataset
from vecsmith.progress import Bars

ARMS = ("plain", "focal", "soft", "matryoshka", "composed")
CELLS = ((6, 384), (3, 96), (2, 48))
START = "all-MiniLM-L6-v2"

Float = NDArray[np.float32]


def main() -> None:
    """Train and judge what is missing, then print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--teacher", help="a cross-encoder's folder; by default the start model is the teacher")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="two steps, one seed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    judge = Judge(given.data, given.work, given.teacher)
    found: dict[str, list[dict[str, float]]] = {"start": [judge(START)]}
    for seed in range(1, 2 if given.quick else given.seeds + 1):
        for arm in ARMS:
            found.setdefault(arm, []).append(one_run(arm, seed, given, judge))
    print(table(found))
    teacher = Path(given.teacher).name if given.teacher else START
    write_result(given.json, "composed", torch.get_num_threads(), teacher=teacher, arms=found)


def one_run(arm: str, seed: int, given: argparse.Namespace, judge: "Judge") -> dict[str, float]:
    """Figures of one arm and seed; trained and judged once."""
    name = f"{arm}-{seed}{'-quick' if given.quick else ''}"
    file = given.work / f"{name}.json"
    if file.exists():
        return dict(json.loads(file.read_text(encoding="utf-8")))
    overrides = [f"seed={seed}", *(["stages.0.train.max_steps=2"] if given.quick else [])]
    if given.teacher:
        overrides.append(f"data.0.score={{teacher: {given.teacher}, kind: cross-encoder}}")
    start = time.process_time()
    folder = given.work / name
    train(
        "composed",
        output=folder,
        profile=None if arm == "composed" else arm,
        overrides=overrides,
        data_root=given.data,
        progress=Bars(),
    )
    figures = judge(folder) | {"processor_seconds": round(time.process_time() - start, 1)}
    write_json(file, figures)
    return figures


class Judge:
    """Model -> figures by (layers, width): `mrr`, `teacher_ndcg`, `sts`."""

    def __init__(self, data: Path, work: Path, teacher: str | None) -> None:
        dataset = transformed(read(data / "wikiqa").split("test"), "retrieval", {})
        kind = "cross-encoder" if teacher else "embedder"
        scored = score_dataset(dataset, teacher or START, kind=kind, folder=work / "test-scores", progress=Bars())
        self.lists = [row for row in scored.records.to_pylist() if row["positives"] and row["negatives"]]
        self.texts = dict(enumerate(scored.texts(np.arange(scored.inputs.num_rows))))
        pairs = read(data / "stsb", ignore=["*"], score_range=(0, 5)).split("test")
        self.pairs = pairs.records.to_pylist()
        self.pair_texts = pairs.texts(np.arange(pairs.inputs.num_rows))

    def __call__(self, model: Path | str) -> dict[str, float]:
        encoder = load(str(model))
        encoder.max_seq_length = 64
        layers, widths = sorted({cell[0] for cell in CELLS}), sorted({cell[1] for cell in CELLS})
        result = {}
        for name, figure in (("mrr", self.mrr), ("teacher_ndcg", self.teacher_ndcg), ("sts", self.sts)):
            grid = layer_grid(encoder, figure, layers=layers, widths=widths)
            result |= {f"{name} {layer}x{width}": round(grid[layer, width], 4) for layer, width in CELLS}
        return result

    def _similarities(self, encode: Any) -> list[tuple[Float, Float, int]]:
        """Per question: cosines and the teacher's scores of its candidates, and how many of them answer."""
        used = sorted({row for each in self.lists for row in (each["query"], *each["positives"], *each["negatives"])})
        vectors, place = encode([self.texts[row] for row in used]), {row: at for at, row in enumerate(used)}
        result = []
        for each in self.lists:
            own = [place[row] for row in (*each["positives"], *each["negatives"])]
            scores = np.asarray(each["teacher_scores"], dtype=np.float32)
            result.append((vectors[own] @ vectors[place[each["query"]]], scores, len(each["positives"])))
        return result

    def mrr(self, encode: Any) -> list[float]:
        """Reciprocal rank of the first sentence that answers, among the question's own."""
        return [1.0 / (1 + int((seen > seen[:good].max()).sum())) for seen, _, good in self._similarities(encode)]

    def teacher_ndcg(self, encode: Any) -> list[float]:
        """nDCG of the candidates' order, the gain of a candidate being its place from below in the teacher's order."""
        found = []
        for seen, taught, _ in self._similarities(encode):
            gain = taught.argsort().argsort().astype(np.float64)
            discount = 1 / np.log2(np.arange(len(gain)) + 2)
            found.append(float((gain[np.argsort(-seen)] * discount).sum() / (np.sort(gain)[::-1] * discount).sum()))
        return found

    def sts(self, encode: Any) -> float:
        """Rank correlation of cosines with the grades of the STS benchmark's test pairs."""
        vectors = encode(self.pair_texts)
        left = vectors[[each["query"] for each in self.pairs]]
        right = vectors[[each["positives"][0] for each in self.pairs]]
        grades = [each["scores"][0] for each in self.pairs]
        return float(spearmanr((left * right).sum(axis=1), grades).statistic)


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """A line per arm: means over seeds, and the half range."""
    names = [f"{what} {layer}x{width}" for what in ("mrr", "teacher_ndcg", "sts") for layer, width in CELLS]
    lines = [f"{'arm':<12}" + "".join(f"{name.replace('teacher_', 't-'):>16}" for name in names)]
    for arm, runs in found.items():
        cells = []
        for name in names:
            values = [run[name] for run in runs]
            cells.append(f"{np.mean(values):.3f} ±{(max(values) - min(values)) / 2:.3f}")
        lines.append(f"{arm:<12}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
