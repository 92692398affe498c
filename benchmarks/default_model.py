"""The default model beside its own start and model2vec's distillation of the same teacher.

    python benchmarks/default_model.py [--data-root FOLDER] [--model FOLDER ...] [--json OUT]

Every row is a static model, float32, judged on STS-B test (Spearman) and SciFact test (nDCG@10) by `vecsmith.evaluate`.
model2vec's row needs `pip install "model2vec[distill]"`, which wants an older transformers than vecsmith does: give it
an environment of its own. Where it is missing the row is left out, in words.
"""

import argparse
import datetime
import json
import os
import platform
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vecsmith.evaluation.evaluate import evaluate
from vecsmith.models.load import load
from vecsmith.models.names import resolve_name
from vecsmith.models.save import save
from vecsmith.models.static import StaticEncoder
from vecsmith.training.recipe import load_recipe

TEACHER = "all-MiniLM-L6-v2"
TASKS = ["STSBenchmark", "SciFact"]
SAME_SIZE_WIDTH = 128  # model2vec keeps all 29,525 pieces: this width makes a folder of the shipped one's size


def main() -> int:
    """Build what is missing, judge all rows, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--model", type=Path, nargs="*", default=[], help="more static model folders to judge")
    parser.add_argument("--quick", action="store_true", help="start from 5,000 texts instead of all")
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    arguments = parser.parse_args()
    root = arguments.data_root or os.environ.get("VECSMITH_DATA") or Path(__file__).parents[2] / "shared" / "data"
    shipped = resolve_name("default")
    width = StaticEncoder.open(shipped).dimension
    rows = [row("default (shipped)", shipped, root), *(row(path.name, path, root) for path in arguments.model)]
    with tempfile.TemporaryDirectory() as folder:
        rows.append(judged_start(shipped, width, Path(folder) / "start", root, quick=arguments.quick))
        rows += judged_model2vec(SAME_SIZE_WIDTH, Path(folder) / "model2vec", root)
    content = {
        "benchmark": "default_model",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in ("torch", "sentence-transformers", "model2vec", "vecsmith")},
        "rows": rows,
    }
    print(table(rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


def judged_start(shipped: Path, width: int, folder: Path, root: Path, *, quick: bool) -> dict:
    """The shipped vocabulary's start, before any training: its own counts are not kept, so the training text's are
    taken anew."""
    from vecsmith.data.readers.distillation_texts import read_distillation_texts
    from vecsmith.models.static_distillation import static_start

    tokens = StaticEncoder.open(shipped)
    limit = 5_000 if quick else load_recipe("static_distillation").data[0].limit
    dataset = read_distillation_texts(root, limit=limit)
    begin = time.process_time()
    texts = dataset.texts(range(dataset.inputs.num_rows))
    model = static_start(load(TEACHER), texts, vocabulary=len(tokens._table), dimension=width)
    seconds = time.process_time() - begin
    save(model, folder, name="start", lineage=(TEACHER,))
    return row("its start, untrained", folder, root, seconds)


def judged_model2vec(width: int, folder: Path, root: Path) -> list[dict]:
    """model2vec's own distillation to a folder of the same size, all its settings as they come but float32."""
    try:
        from model2vec.distill import distill
    except ImportError as error:
        print(f"model2vec is left out: {error}")
        return []
    begin = time.process_time()
    model = distill(str(resolve_name(TEACHER)), pca_dims=width, quantize_to="float32", device="cpu")
    seconds = time.process_time() - begin
    return [row("model2vec, distilled", as_static(model, folder), root, seconds)]


def as_static(model: object, folder: Path) -> Path:
    """A model2vec model as StaticEmbedding and Normalize."""
    import numpy as np
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    table = np.asarray(model.embedding, dtype=np.float32)
    if model.token_mapping is not None:
        table = table[model.token_mapping]
    if model.weights is not None:
        table = table * np.asarray(model.weights, dtype=np.float32)[:, None]
    embedding = StaticEmbedding(model.tokenizer, embedding_weights=table)
    save(SentenceTransformer(modules=[embedding, Normalize()], device="cpu"), folder, name="model2vec")
    return folder


def row(name: str, folder: Path, root: Path, seconds: float | None = None) -> dict:
    """One model's figures; `cpu_seconds` is what making it took here, None where it was made elsewhere."""
    encoder = StaticEncoder.open(folder)
    report = evaluate(str(folder), "small_english", tasks=TASKS, data_root=root)
    scores = {result.task: round(float(result.scores.value or 0.0), 4) for result in report.results}
    return {
        "model": name,
        "pieces": len(encoder._table),
        "width": encoder.dimension,
        "folder_mb": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 2),
        "scores": scores,
        "cpu_seconds": None if seconds is None else round(seconds, 1),
    }


def table(rows: list[dict]) -> str:
    """The rows for people."""
    lines = [f"{'model':24} {'pieces':>7} {'width':>5} {'MB':>6} {'STS-B':>7} {'SciFact':>8} {'CPU s':>7}"]
    for each in rows:
        cost = "" if each["cpu_seconds"] is None else f"{each['cpu_seconds']:.0f}"
        lines.append(
            f"{each['model']:24} {each['pieces']:>7,} {each['width']:>5} {each['folder_mb']:>6.2f} "
            f"{each['scores']['STSBenchmark']:>7.4f} {each['scores']['SciFact']:>8.4f} {cost:>7}"
        )
    return "\n".join(lines)


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    raise SystemExit(main())
