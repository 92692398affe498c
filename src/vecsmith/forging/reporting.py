"""What forge leaves behind: the kept model, its recipe and lock, report.json and report.html."""

import datetime
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith import __version__
from vecsmith.atomic import new_folder, write_json, write_text
from vecsmith.contract.hashes import file_hash
from vecsmith.data.dataset import Dataset
from vecsmith.forging.arms import Bench, Side
from vecsmith.forging.page import write_page
from vecsmith.forging.pictures import disagreements, gains, map_of
from vecsmith.forging.plan import Plan
from vecsmith.forging.verdict import Arm, Verdict, gate_passes
from vecsmith.training.lock import LOCK, make_lock, write_lock
from vecsmith.training.recipe import Recipe

__all__ = ["Made", "leave_model", "leave_recipe", "make_report", "questions_from", "unknown_warnings"]


@dataclass(frozen=True)
class Made:
    """All that the report tells of."""

    output: Path
    read: dict[str, Any]
    plan: Plan
    benches: dict[str, Bench]
    arms: list[Arm]
    found: dict[str, Any]
    verdict: Verdict
    kept: Side
    index: dict[str, Any]
    examples: list[dict[str, Any]]
    warnings: list[str]
    fits: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    gate: Any
    seed: int


UNKNOWN_WARNS_ABOVE = 0.05
SHORT_QUESTION = 60  # characters: what fits a line of a terminal


def leave_model(path: Path | str, folder: Path, *, fitted: bool) -> None:
    """Put the kept model at `folder`, whole: a fitted one as it was written, a start model saved with its contract."""
    if fitted:
        with new_folder(folder, replace=True) as temporary:
            shutil.copytree(path, temporary, dirs_exist_ok=True)
        return
    from vecsmith.models.load import load
    from vecsmith.models.save import save

    save(load(path), folder, lineage=(str(path),), replace=True)


def leave_recipe(
    output: Path, recipe: Recipe, dataset: Dataset, *, fitted_model: Path | None, start: dict[str, Any]
) -> None:
    """recipe.yaml, runnable by `vecsmith train`, and its lock: the fit's own where there was one."""
    text = recipe.to_yaml()
    write_text(output / "recipe.yaml", text)
    if fitted_model is not None:
        write_text(output / LOCK, (fitted_model / LOCK).read_text(encoding="utf-8"))
        return
    facts = {"kind": "retrieval", "records": dataset.records.num_rows, "fingerprint": dataset.fingerprint()}
    write_lock(output, make_lock(text, seed=recipe.seed, base=start, data={"pairs": facts}))


def questions_from(bench: Bench, served: Dataset, seed: int) -> list[tuple[str, str | None]]:
    """Three of the judged queries, the last with a filter that its right document passes."""
    order = np.random.default_rng(seed).permutation(len(bench.query_texts)).tolist()
    short = [number for number in order if len(bench.query_texts[number]) <= SHORT_QUESTION]
    chosen = [*short, *(number for number in order if number not in set(short))][:3]
    questions: list[tuple[str, str | None]] = [(bench.query_texts[number], None) for number in chosen]
    where = _filter_for(bench, chosen[-1], served) if chosen else None
    if where:
        questions[-1] = (questions[-1][0], where)
    return questions


def unknown_warnings(sides: Sequence[Side]) -> list[str]:
    """One line per model that does not know more than 5 % of the tokens."""
    return [
        f"{100 * side.unknown_share:.1f} % of the tokens are unknown to {side.name}: it cannot tell those words apart. "
        "Try a model for this language with --model"
        for side in sides
        if side.unknown_share > UNKNOWN_WARNS_ABOVE
    ]


def _filter_for(bench: Bench, query: int, served: Dataset) -> str | None:
    right = next(iter(bench.relevance[query]))
    table = served.documents.table
    row = table["id"].to_pylist().index(right)
    for name, kind in served.documents.attributes.items():
        value = table[name][row].as_py()
        if str(kind) == "string" and value and "\n" not in value and len(value) <= 60:
            quoted = value.replace("'", "''")
            field = name if name.isidentifier() and name.isascii() else f"`{name}`"
            return f"{field} = '{quoted}'"
    return None


def make_report(made: Made) -> dict[str, Any]:
    """Write report.json and report.html; returns the former's value."""
    output, test = made.output, made.benches["test"]
    description = made.read["description"]
    groups = _groups(made, test)
    report: dict[str, Any] = {
        "format": 1,
        "vecsmith": __version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "output": str(output),
        "source": description,
        "counts": made.read["counts"],
        "leaks": made.read["leaks"],
        "plan": made.plan.to_json(),
        "verdict": made.verdict.to_json(),
        "arms": made.verdict.summary,
        "judged": f"{len(test.query_texts):,} queries over {len(test.document_ids):,} documents.",
        "fit": made.fits,
        "gains": gains(made.arms, made.verdict.winner),
        "map": map_of(made.kept.vectors("test").documents, groups, made.kept.name, seed=made.seed),
        "disagreements": disagreements(made.arms, made.found, test),
        "index": made.index,
        "model": {"name": made.kept.name, "sha256": file_hash(output / "model" / "embedding.json")},
        "examples": made.examples,
        "warnings": made.warnings,
        "left_out": list(made.plan.left_out),
        "seconds": made.seconds,
        "gate": None if made.gate is None else {"name": made.gate, "passed": gate_passes(made.verdict, made.gate)},
        "next": _next(output, made.examples),
    }
    report["done"] = _done(made, report)
    write_json(output / "report.json", report)
    write_page(report, output / "report.html")
    return report


def _groups(made: Made, bench: Bench) -> list[str]:
    dataset = Dataset.open(made.output / "work" / "data")
    table = dataset.documents.table
    group_of = dict(zip(table["id"].to_pylist(), table["group"].to_pylist(), strict=True))
    return [group_of.get(identifier) or "none" for identifier in bench.document_ids]


def _done(made: Made, report: dict[str, Any]) -> list[str]:
    counts, index = made.read["counts"], made.index
    lines = [
        f"Read {report['source']['words']}.",
        *(f"{note[0].upper()}{note[1:]}." for note in report["source"]["notes"]),
        f"Pairs: {counts['train_pairs']:,} to train, {counts['dev_pairs']:,} dev, {counts['test_pairs']:,} test; "
        "no group stands on two sides.",
        f"{made.read['leaks'][0].upper()}{made.read['leaks'][1:]}.",
    ]
    lines += [
        f"Fitted {model}: {facts['steps']:,} steps, {facts['pairs']:,} pairs, {facts['seconds']:.0f} s, "
        f"last loss {facts['loss']:.3f}."
        for model, facts in made.fits.items()
    ]
    how = "built anew" if index["anew"] else f"{index['added']:,} added, {index['changed']:,} changed, "
    how += "" if index["anew"] else f"{index['deleted']:,} deleted"
    lines.append(f"Index of {index['documents']:,} documents ({how}), {index['bytes'] / 1e6:,.1f} MB.")
    return lines


def _next(output: Path, examples: Sequence[dict[str, Any]]) -> str:
    """A command that a shell takes as it is: one of the questions, with a filter where one has it."""
    example: dict[str, Any] = {"query": "...", "where": None}
    example = next((e for e in examples if e["where"]), examples[0] if examples else example)
    words = [_program(), "search", f"{output}/index", example["query"]]
    words += ["--where", example["where"]] if example["where"] else []
    return " ".join(_for_shell(word) for word in words)


def _program() -> str:
    """`vecsmith` where the shell finds it, else the path of the one that runs."""
    if shutil.which("vecsmith"):
        return "vecsmith"
    own = Path(sys.executable).with_name("vecsmith")
    return str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else str(own)


def _for_shell(word: str) -> str:
    """Double quotes read better than shlex's where nothing inside needs escaping."""
    quoted = shlex.quote(word)
    return f'"{word}"' if quoted != word and not set(word) & set('"`$\\!') else quoted
