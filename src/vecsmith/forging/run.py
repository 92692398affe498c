"""The whole way: a source is read, models are fitted, every arm is judged, the winner is indexed, and a report written.

Each step is kept under a key of all that it depends on (`steps.py`); a killed run goes on from the last finished one.
"""

import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vecsmith import __version__
from vecsmith.data.dataset import Dataset
from vecsmith.errors import UsageError
from vecsmith.forging.arms import Bench, Side, encode_bench, judge_arms, load_judged, save_judged
from vecsmith.forging.benches import benches_of
from vecsmith.forging.fitting import fit_or_keep, forge_recipe, measure_rates
from vecsmith.forging.indexing import ask, build_index
from vecsmith.forging.job import Job, open_job
from vecsmith.forging.plan import Counts, ModelPlan, Plan, make_plan
from vecsmith.forging.reading import read_source, whose_queries
from vecsmith.forging.reporting import Made, leave_model, leave_recipe, make_report, questions_from, unknown_warnings
from vecsmith.forging.steps import Steps, key_of
from vecsmith.forging.verdict import Arm, Verdict, decide
from vecsmith.models.encoder import open_encoder
from vecsmith.progress import SILENT, Progress

__all__ = ["forge", "plan_only"]

Question = tuple[str, str | None]


def forge(
    source: str | Path,
    *,
    output: str | Path,
    query: str | None = None,
    document: str | None = None,
    attributes: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    group: str | None = None,
    labels: str | Path | None = None,
    models: Sequence[str] = ("default",),
    minutes: float = 10.0,
    prefer: Literal["quality", "speed"] = "quality",
    gate: Literal["better", "not-worse"] | None = None,
    limit: int | None = None,
    refit: bool = False,
    seed: int = 7,
    questions: Sequence[Question] | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Raw text to a fitted, judged, searchable model.

    source       a folder of documents, a table, "docstrings:installed" or "docstrings:stdlib"
    output       folder that gets model/, index/, recipe.yaml, recipe.lock.yaml, report.json, report.html
    query, document, attributes, ignore, group    columns of a table; group also "file" or "folder" of documents
    labels       TSV of query, document_id, relevance: real judgements for the verdict
    models       start models, anything `vs.load` takes; each is an arm as it is and fitted
    minutes      bound of fitting and judging together
    prefer       what decides among arms that are too close to tell
    gate         recorded in the report with whether it passed
    limit        most documents read
    refit        fit anew even where few training pairs changed
    questions    (query, filter) to put to the index at the end; default three of the judged queries
    returns      the value of report.json
    raises       UsageError: a folder that is not forge's, or options that contradict each other; DataError and
                 NotEnoughData: the source; Locked: another forge in this folder
    """
    if prefer not in ("quality", "speed"):
        raise UsageError(f'prefer is "{prefer}"; known: quality, speed')
    if gate not in (None, "better", "not-worse"):
        raise UsageError(f'gate is "{gate}"; known: better, not-worse')
    columns = {"query": query, "document": document, "attributes": attributes, "ignore": ignore, "group": group}
    steps = Steps(Path(output), progress=progress)
    job = open_job(
        source,
        columns=columns,
        labels=labels,
        models=models,
        minutes=minutes,
        limit=limit,
        seed=seed,
        progress=progress,
    )
    with steps.open():
        return _Forge(steps, job).run(prefer=prefer, gate=gate, refit=refit, questions=questions)


def plan_only(
    source: str | Path,
    *,
    labels: str | Path | None = None,
    models: Sequence[str] = ("default",),
    minutes: float = 10.0,
    limit: int | None = None,
    seed: int = 7,
    progress: Progress = SILENT,
    **columns: Any,
) -> dict[str, Any]:
    """What `forge` would do: what was found, which pairs, how many steps, how long. Writes nothing that stays.

    columns   query, document, attributes, ignore, group, as for `forge`
    """
    job = open_job(
        source,
        columns=columns,
        labels=labels,
        models=models,
        minutes=minutes,
        limit=limit,
        seed=seed,
        progress=progress,
    )
    with tempfile.TemporaryDirectory(prefix="vecsmith-plan-") as folder:
        read = read_source(job.source, Path(folder), seed=seed, progress=progress)
        plan = _plan(job, read, Path(folder))
    description, counts = read["description"], read["counts"]
    kinds = ", ".join(f"{count:,} from {made_from}" for made_from, count in description["pairs"].items()) or "none"
    sides = ", ".join(f"{counts[f'{side}_pairs']:,} {side}" for side in ("train", "dev", "test"))
    return {
        "source": {"name": description["name"], "words": description["words"], "notes": description["notes"]},
        "pairs": f"{kinds}; without leaks: {sides}",
        "leaks": read["leaks"],
        "plan": plan.to_json(),
        "seconds": plan.seconds,
    }


def _plan(job: Job, read: dict[str, Any], work: Path) -> Plan:
    counts = Counts(**read["counts"])
    dataset = Dataset.open(work / "data")
    texts = dataset.texts(dataset.documents.inputs[:4096])
    trained = dataset.split("train") if counts.train_pairs else None
    rates = {
        slug: measure_rates(model, job.encoders[slug], trained, texts, seed=job.seed, progress=job.progress)
        for slug, model in job.models.items()
    }
    labelled = None if job.labels is None else len(job.labels)
    return make_plan(counts, rates, minutes=job.minutes, labelled_queries=labelled)


class _Forge:
    """One run over one folder: each method is a step, and what a later step needs of an earlier one is an attribute."""

    def __init__(self, steps: Steps, job: Job) -> None:
        self.steps, self.job = steps, job
        self.output, self.work = steps.folder, steps.folder / "work"
        self.work.mkdir(exist_ok=True)

    def run(self, *, prefer: Any, gate: Any, refit: bool, questions: Sequence[Question] | None) -> dict[str, Any]:
        self.read()
        self.plan()
        self.fit(refit)
        sides, arms_key = self.encode()
        arms, found = self.judge(sides, arms_key)
        verdict = decide(
            arms,
            queries=whose_queries(self.found["description"], len(arms[0].scores["ndcg@10"]), self.job.judgements()),
            real_queries=self.job.labels is not None or self.found["description"]["kind"] == "set",
            prefer=prefer,
            seed=self.job.seed,
        )
        winner = next(arm for arm in arms if arm.name == verdict.winner)
        kept = _kept_side(arms, winner, sides)
        index_key = self.index(winner, kept)
        key = key_of("report", arms_key, index_key, prefer, gate, questions, str(self.output))
        self.steps.run("report", key, lambda: self.report(arms, found, verdict, sides, kept, gate, questions))
        report: dict[str, Any] = json.loads((self.output / "report.json").read_text(encoding="utf-8"))
        if not self.steps.reran:
            self.job.progress.say("nothing changed: every step is kept as it was")
        return report

    def read(self) -> None:
        key = key_of("read", __version__, self.job.source.name, self.job.source.manifest(), self.job.reading())
        self.found = self.steps.run(
            "read",
            key,
            lambda: read_source(self.job.source, self.work, seed=self.job.seed, progress=self.job.progress),
        )
        self.data = Dataset.open(self.work / "data")
        self.served = Dataset.open(self.work / "served")

    def plan(self) -> None:
        key = key_of("plan", self.found["fingerprint"], self.job.asked())
        value = self.steps.run("plan", key, lambda: _plan(self.job, self.found, self.work).to_json())
        models = tuple(ModelPlan(**model) for model in value["models"])
        self.planned = Plan(**{**value, "models": models, "left_out": tuple(value["left_out"])})
        self.bench_key = key_of(self.found["fingerprint"], self.found["served"], value, self.job.asked())
        self._benches: dict[str, Bench] | None = None

    def benches(self) -> dict[str, Bench]:
        if self._benches is None:
            self._benches = benches_of(self.data, self.served, self.planned, self.job.labels, seed=self.job.seed)
        return self._benches

    def fit(self, refit: bool) -> None:
        """Every model with steps; kept where few training pairs changed since it was fitted."""
        self.fits: dict[str, dict[str, Any]] = {}
        for model in self.planned.models:
            if not model.steps:
                continue
            start = self.job.asked()["models"][model.model]
            key = key_of("fit", self.found["fingerprint"], start, vars(model), self.job.seed, refit)
            fitting = partial(
                fit_or_keep,
                model,
                self.job.models[model.model],
                self.work / "models" / model.model,
                work=self.work,
                start=start,
                seed=self.job.seed,
                refit=refit,
                progress=self.job.progress,
            )
            self.fits[model.model] = self.steps.run(f"fit {model.model}", key, fitting)

    def encode(self) -> tuple[list[Side], str]:
        """Vectors of every model, as it is and fitted."""
        sides, keys = [], [self.bench_key]
        for model in self.planned.models:
            for fitted in (False, True)[: 1 + bool(model.steps)]:
                path = self.work / "models" / model.model
                encoder = open_encoder(path) if fitted else self.job.encoders[model.model]
                name = f"{model.model}, fitted" if fitted else model.model
                folder = self.work / "arms" / f"{model.model}-{'fitted' if fitted else 'start'}"
                keys.append(key_of("encode", self.bench_key, encoder.contract.fingerprint))

                def work(encoder: Any = encoder, folder: Path = folder, name: str = name) -> dict[str, Any]:
                    return encode_bench(encoder, self.benches(), folder, name=name, progress=self.job.progress)

                costs = self.steps.run(f"encode {name}", keys[-1], work)
                sides.append(Side(model=model.model, fitted=fitted, folder=folder, **costs))
                self.job.progress.say(f"{name}: {100 * costs['unknown_share']:.1f} % of tokens unknown")
        return sides, key_of(keys)

    def judge(self, sides: list[Side], key: str) -> tuple[list[Arm], dict[str, Any]]:
        folder = self.work / "judged"

        def work() -> dict[str, Any]:
            save_judged(*judge_arms(sides, self.benches(), progress=self.job.progress), folder)
            return {}

        self.steps.run("judge", key_of("judge", key), work)
        return load_judged(folder)

    def index(self, winner: Arm, kept: Side) -> str:
        """Leave model/, the recipe and index/."""
        path = self.work / "models" / kept.model if kept.fitted else Path(self.job.models[kept.model])
        fingerprint = open_encoder(path if kept.fitted else self.job.models[kept.model]).contract.fingerprint
        planned = next(entry for entry in self.planned.models if entry.model == kept.model)
        recipe = forge_recipe(
            self.job.models[kept.model],
            data="work/data",
            seed=self.job.seed,
            steps=planned.steps or None,
            batch_size=planned.batch_size,
        )

        def leave() -> dict[str, Any]:
            leave_model(path if kept.fitted else self.job.models[kept.model], self.output / "model", fitted=kept.fitted)
            start = {"name": self.job.models[kept.model], "fingerprint": fingerprint}
            train = self.data.split("train") if "train" in self.data.splits else self.data
            leave_recipe(self.output, recipe, train, fitted_model=path if kept.fitted else None, start=start)
            return {}

        self.steps.run("model", key_of("model", fingerprint, recipe.to_yaml(), kept.fitted), leave)
        index_key = key_of(winner.kind, fingerprint if winner.model else None, str(self.served.documents.attributes))
        key = key_of("index", index_key, winner.weight, self.found["served"])
        self.indexed = self.steps.run(
            "index",
            key,
            lambda: build_index(
                self.served,
                self.output / "index",
                kind=winner.kind,
                model=self.output / "model",
                weight=winner.weight,
                marks=self.work / "indexed.arrow",
                key=index_key,
                progress=self.job.progress,
            ),
        )
        return key

    def report(
        self,
        arms: list[Arm],
        found: dict[str, Any],
        verdict: Verdict,
        sides: list[Side],
        kept: Side,
        gate: Any,
        questions: Sequence[Question] | None,
    ) -> dict[str, Any]:
        asked = questions_from(self.benches()["test"], self.served, self.job.seed) if questions is None else questions
        made = Made(
            output=self.output,
            read=self.found,
            plan=self.planned,
            benches=self.benches(),
            arms=arms,
            found=found,
            verdict=verdict,
            kept=kept,
            index=self.indexed,
            examples=ask(self.output / "index", list(asked)),
            warnings=unknown_warnings(sides),
            fits=self.fits,
            seconds={name: self.steps.seconds(name) for name in self.steps.done},
            gate=gate,
            seed=self.job.seed,
        )
        make_report(made)
        return {}


def _kept_side(arms: list[Arm], winner: Arm, sides: list[Side]) -> Side:
    """The model left in model/: the winner's, or the best dense arm's where BM25 alone won."""
    best = winner
    if winner.model is None:
        best = max((arm for arm in arms if arm.kind == "dense"), key=lambda arm: float(arm.scores["ndcg@10"].mean()))
    return next(side for side in sides if side.model == best.model and side.fitted == best.fitted)
