"""Compare a model with another program that claims to be it, and name the likely cause of a difference."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.compare import Different, compare
from vecsmith.contract.parity import Cause, Hypothesis, ParityReport, compare_vectors, explain, verdict_of
from vecsmith.contract.probes import PROBES, TOLERANCES
from vecsmith.errors import DataError, UsageError
from vecsmith.models.targets import Target, open_target
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.models.variants import Variants

__all__ = ["parity"]

Float = NDArray[np.float32]


def parity(
    model: "str | os.PathLike[str] | SentenceTransformer",
    target: Any,
    *,
    texts: Sequence[str] = (),
    dtype: str = "float32",
    explain_difference: bool = True,
    progress: Progress = SILENT,
    **options: Any,
) -> ParityReport:
    """Whether a target gives this model's vectors, by the 16 probe inputs, and why not.

    model    a path, a name, or what `vecsmith.load` gives
    target   a model folder or name, an .onnx file, an http(s) address of a server, python:MODULE:OBJECT, or an object
             with encode, embed_documents or embed_query
    texts    further texts to compare, encoded without a role
    dtype    how the target computes, which decides what counts as the same: float32, float16, bfloat16 or int8
    options  `reader` ("vecsmith", "sentence-transformers"), `trust_remote_code`, and for a server those of
             `EndpointEncoder`: dialect, model (its name there), token_env, header_env, prompts, encoding, batch_size,
             timeout_seconds
    returns  a report: `print(report)` is a table; `.same`, `.verdict`, `.cause`, `.to_dict()`
    raises   UsageError, ContractError, DataError: the model or target cannot be opened or asked
    """
    from vecsmith.models.load import load
    from vecsmith.models.variants import Variants

    if dtype not in TOLERANCES:
        raise UsageError(f'dtype is "{dtype}"; known: {", ".join(TOLERANCES)}')
    ours = load(model) if isinstance(model, (str, os.PathLike)) else model
    variants = Variants(ours)
    own_prompts = {role: variants.encoder.prompt_for(role) for role in (None, "query", "document")}
    if "model_name" in options:
        options["model"] = options.pop("model_name")
    if isinstance(target, str) and target.startswith(("http://", "https://")):
        options = {"prompt_texts": own_prompts, **options}
    theirs = open_target(target, **options)
    inputs = [(text, role) for _, text, role in PROBES] + [(text, None) for text in texts]
    names = [name for name, _, _ in PROBES] + [f"text {number}" for number in range(1, len(texts) + 1)]
    with progress.task("comparing", total=2, unit="sides") as task:
        mine = variants.own_vectors(inputs)
        task.advance()
        found, refused = _encode(theirs, inputs)
        task.advance()
    answered = [row for row in range(len(inputs)) if row not in refused]
    verdict, worst = verdict_of(mine[answered], found[answered], TOLERANCES[dtype])
    notes = [f"{len(refused)} inputs were refused by the target and not compared"] if refused else []
    cause = None
    if verdict != "same" and explain_difference:
        probes = [row for row in answered if row < len(PROBES)]
        with progress.task("looking for the cause", total=None, unit="steps"):
            cause = _cause(variants, [inputs[row] for row in probes], [names[row] for row in probes],
                           mine[probes], found[probes], TOLERANCES[dtype])  # fmt: skip
        said = _by_files(ours, theirs)
        if cause.kind in ("weights", "model", "precision") and not cause.is_sure and "weights" in said:
            words = "other weights: their hashes differ; the rest of the files tells of " + (
                _listed(said - {"weights"}) or "no other difference"
            )
            cause = replace(cause, kind="weights", words=words, mend="take the weights of the model")
        elif said and theirs.contract is not None:
            notes.append(f"by its files, other {_listed(said)}")
    declared = theirs.contract.view.get("dtype") if theirs.contract is not None else None
    if verdict != "same" and declared in TOLERANCES and declared not in (dtype, "float32"):
        notes.append(f"the target's contract says that it computes in {declared}: compare with --dtype {declared}")
    rows = compare_vectors(mine, found, names, refused)
    label = model if isinstance(model, str) else str(getattr(ours, "folder", None) or type(ours).__name__)
    widths = (mine.shape[1], found.shape[1])
    return ParityReport(label, theirs.name, verdict, tuple(rows), TOLERANCES[dtype], worst, widths, cause, tuple(notes))


def _encode(target: Target, inputs: Sequence[tuple[str, str | None]]) -> tuple[Float, dict[int, str]]:
    """The target's vectors of all inputs, role by role."""
    rows: dict[int, Float] = {}
    refused: dict[int, str] = {}
    for role in (None, "query", "document"):
        places = [place for place, (_, wanted) in enumerate(inputs) if wanted == role]
        vectors, failed = target.encode([inputs[place][0] for place in places], role)
        if rows and vectors.shape[1] != len(next(iter(rows.values()))):
            raise DataError(
                f"vectors of {vectors.shape[1]} components for role {role}, other widths before", file=target.name
            )
        rows.update(zip(places, vectors, strict=True))
        refused.update({places[row]: words for row, words in failed.items()})
    return np.stack([rows[place] for place in range(len(inputs))]), refused


def _cause(
    variants: "Variants",
    inputs: list[tuple[str, str | None]],
    names: list[str],
    ours: Float,
    theirs: Float,
    tolerance: float,
) -> Cause:
    from vecsmith.models.faults import faults, pairs_of_faults, search_length

    variants.close_unless_equal(inputs, ours, TOLERANCES["float32"])
    singles = faults(variants, inputs)
    cause = explain(ours, theirs, names, singles, tolerance=tolerance, combined=pairs_of_faults(variants, inputs))
    if cause.is_sure or not variants.is_open or ours.shape != theirs.shape or "long" not in cause.probes:
        return cause
    if len(cause.probes) == len(names):  # no input agrees: the length is not what is wrong
        return cause
    row = names.index("long")
    length, _ = search_length(variants, *inputs[row], theirs[row])
    from vecsmith.models.variants import Change

    words, mend = (
        f"it cuts inputs after {length} tokens",
        f"set its longest input to {variants.encoder.token_limit} tokens",
    )
    cut = Hypothesis("truncation", words, mend, lambda: variants.vectors(inputs, Change(limit=length)))
    return explain(ours, theirs, names, [cut, *singles], tolerance=tolerance)


def _by_files(model: "SentenceTransformer", target: Target) -> frozenset[str]:
    """The contract's fields in which the files of both sides differ; empty where one side has no files."""
    held = getattr(model, "folder", None)
    if target.contract is None or held is None:
        return frozenset()
    from vecsmith.contract.describe import contract_of

    verdict = compare(contract_of(held), target.contract)
    return frozenset(field.field for field in verdict.fields) if isinstance(verdict, Different) else frozenset()


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
