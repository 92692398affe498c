"""all-MiniLM-L6-v2 itself trained: KaLM, LG-ANNA, QZhou and plain InfoNCE, judged on sets that none trained on.

    python -m replications.trained_minilm.run --data DATA --work WORK [--seeds 3] [--steps 100] [--arms plain,kalm]

Hours on two cores; run it in the background. Each arm and seed has its folder and its result file; a killed run goes
on from its last checkpoint (every 20 steps), and what is finished is not done again. `--collect` prints the table and
writes it into the checkout.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from replications.trained_minilm.data import open_records
from vecsmith.atomic import write_json, write_text
from vecsmith.data.dataset import Dataset
from vecsmith.errors import UsageError
from vecsmith.progress import Bars

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs" / "evidence"
ARMS = ("plain", "kalm", "lg_anna", "qzhou")
TOKENS = 64


def main() -> None:
    """Train, judge and keep what is asked for and not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of records, models and results")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--collect", action="store_true", help="only the table of what is finished")
    given = parser.parse_args()
    work = given.work / "trained_minilm"
    if given.collect:
        collect(work)
        return
    _start_result(given.data, work)
    for seed in range(1, given.seeds + 1):
        for arm in given.arms.split(","):
            if arm not in ARMS:
                raise UsageError(f'no arm "{arm}"; there are: {", ".join(ARMS)}')
            one_run(arm, seed, given.steps, given.data, given.work)


def one_run(arm: str, seed: int, steps: int, data: Path, work: Path) -> None:
    """Train one arm with one seed and judge it, unless its result is there."""
    folder = work / "trained_minilm"
    name = f"{arm}-{seed}" if steps == 100 else f"{arm}-{seed}-{steps}-steps"
    file = folder / f"{name}.json"
    if file.is_file():
        return
    import vecsmith
    from vecsmith.training.recipe import load_recipe

    records = open_records(data, folder, progress=Bars())
    if arm == "lg_anna":
        records = {name: _taught(records[name], work) if name in PAIRED else records[name] for name in records}
    recipe = load_recipe(HERE / "recipe.yaml", arm, [f"seed={seed}", *_steps_of(arm, steps)])
    named = {name for stage in recipe.stages for name in stage.data or []}
    started = _cpu()
    model = vecsmith.train(
        recipe,
        data={name: dataset for name, dataset in records.items() if name in named},
        output=folder / "models" / name,
        progress=Bars(),
    )
    trained = _cpu() - started
    scores = judge(model, data)
    judged = _cpu() - started - trained
    write_json(
        file,
        {
            "arm": arm,
            "seed": seed,
            "steps": steps,
            "scores": scores,
            "training_cpu_seconds": round(trained, 1),
            "judging_cpu_seconds": round(judged, 1),
            "date": time.strftime("%Y-%m-%d"),
        },
    )
    print(f"{name}: {trained / steps:.1f} CPU s a step, judged in {judged:.0f} CPU s: {json.dumps(scores)}", flush=True)


PAIRED = ("wikiqa", "quora", "nli", "scifact", "stsb_pairs")


def _steps_of(arm: str, steps: int) -> list[str]:
    """Overrides of the steps; two stages share them 6 to 4."""
    parts = [steps] if arm != "qzhou" else [max(1, round(steps * 0.6)), max(1, steps - round(steps * 0.6))]
    return [f"stages.{number}.train.max_steps={part}" for number, part in enumerate(parts)]


def _taught(dataset: Dataset, work: Path) -> Dataset:
    """Teacher scores of the cross-encoder, kept in the work folder."""
    from vecsmith.data.teachers import teach
    from vecsmith.models.cross_encoder import CrossEncoderScorer

    scorer = CrossEncoderScorer(work / "lg_anna_teacher" / "model")
    return teach(dataset, scorer, work / "trained_minilm" / "scores", progress=Bars())


def judge(model: Any, data: Path) -> dict[str, float]:
    """The main score of each task of `suite.yaml`, texts cut at 64 tokens."""
    from vecsmith.evaluation.evaluate import evaluate

    model.max_seq_length, model.on_truncation = TOKENS, "cut"
    report = evaluate(model, HERE / "suite.yaml", data_root=data)
    print("judging, seconds:", {result.task: round(result.seconds, 1) for result in report.results}, flush=True)
    return {result.task: round(float(result.scores.value or 0.0), 5) for result in report.results}


def _start_result(data: Path, folder: Path) -> None:
    """The start model's scores, once."""
    if not (folder / "start.json").is_file():
        from vecsmith.models.load import load

        folder.mkdir(parents=True, exist_ok=True)
        started = _cpu()
        scores = judge(load("all-MiniLM-L6-v2", on_truncation="cut"), data)
        write_json(folder / "start.json", {"arm": "start", "scores": scores})
        print(f"start: judged in {_cpu() - started:.0f} CPU s: {json.dumps(scores)}", flush=True)


def collect(folder: Path) -> None:
    """Means over seeds, and each arm's difference to plain of the same seed; printed, and written to the docs."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    found = [each for each in found if each.get("steps", 100) == 100]
    if not found:
        sys.exit(f"nothing finished in {folder}")
    tasks = list(found[0]["scores"])
    lines = ["| arm | seeds | " + " | ".join(tasks) + " | mean | less plain |", "|---|--:|" + "--:|" * (len(tasks) + 2)]
    plain = {each["seed"]: np.mean(list(each["scores"].values())) for each in found if each["arm"] == "plain"}
    for arm in ("start", *ARMS):
        own = [each for each in found if each["arm"] == arm]
        if own:
            scores = np.array([[each["scores"][task] for task in tasks] for each in own])
            paired = [np.mean(list(e["scores"].values())) - plain[e["seed"]] for e in own if e.get("seed") in plain]
            against = f"{np.mean(paired):+.4f} ({min(paired):+.4f} to {max(paired):+.4f})" if paired else ""
            cells = " | ".join(f"{value:.4f}" for value in [*scores.mean(axis=0), scores.mean()])
            lines.append(f"| {arm} | {len(own)} | {cells} | {against} |")
    print("\n".join(lines))
    DOCS.mkdir(parents=True, exist_ok=True)
    write_json(HERE / "results.json", found)
    write_text(DOCS / "trained_minilm.md", PAGE.format(table="\n".join(lines)))


PAGE = """# all-MiniLM-L6-v2 trained whole

Four arms on the same records (question answering, duplicate questions, inference, claims, similarity, intents), 100
steps of 64 pairs cut at 64 tokens, one negative at most; judged on sets that none of them trained on. How:
`replications/trained_minilm/`. The last column is the range over seeds of the paired difference.

{table}
"""


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
