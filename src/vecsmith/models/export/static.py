"""A model as a static one that plain sentence-transformers loads: a static model as it is, a transformer distilled.

A distilled model is an approximation and another space: a table of the teacher's vectors of single word pieces, made
narrower by principal components, common pieces made short.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import Contract
from vecsmith.errors import NotEnoughData, ParityFailed
from vecsmith.models.export.onnx import Measure, checked_target, read_reference
from vecsmith.models.names import resolve_name
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.contract.parity import ParityReport

__all__ = ["StaticExport", "agreement_of", "export_static", "guessed_counts"]

Float = NDArray[np.float32]

VOCABULARY = 28_000
MOST_COMPARED = 1_000  # texts whose pairs are compared


@dataclass(frozen=True)
class StaticExport:
    """What was written.

    report      for a static model: how near its vectors are; None for a distilled one
    is_same     whether the weights are those of the model bit for bit, which one fingerprint says
    agreement   for a distilled one: {"texts", "correlation"} of its pair similarities with the teacher's
    loss        what `measure` found
    """

    folder: Path
    contract: Contract
    report: "ParityReport | None" = None
    is_same: bool = False
    agreement: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] | None = None


def export_static(
    name_or_path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    texts: Sequence[str] | None = None,
    vocabulary: int = VOCABULARY,
    dimension: int = 256,
    measure: Measure | None = None,
    replace_folder: bool = False,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> StaticExport:
    """Write a folder with StaticEmbedding that plain sentence-transformers opens.

    name_or_path    a static model, written as it is; or a transformer with a WordPiece tokenizer, distilled
    texts           for distilling: their words choose the vocabulary and weigh it; without them frequencies are guessed
                    from the order of the vocabulary
    vocabulary      pieces kept, at most; dimension: components of a vector, at most the teacher's
    measure         (model, static model) -> what the approximation costs on judged tasks
    raises          ParityFailed: a static model's vectors differ by more than 1e-6; UsageError: the folder exists,
                    another tokenizer; NotEnoughData: fewer different pieces in the texts than dimensions
    """
    target = checked_target(Path(output), replace_folder)
    with progress.task("loading the model", total=None):
        model, contract = read_reference(name_or_path, trust_remote_code)
    if type(model[0]).__name__ == "StaticEmbedding":
        return _as_it_is(name_or_path, model, contract, target, replace_folder)
    with progress.task("distilling", total=None):
        student = _distilled(model, texts, vocabulary, dimension)
    return _write_distilled(model, contract, student, target, texts, measure, replace_folder)


def guessed_counts(pieces: int) -> NDArray[np.int64]:
    """How often each piece would stand in a large text, by its place: int64 [pieces], Zipf's law.

    Vocabularies of WordPiece are written in order of frequency, special pieces first.

    >>> guessed_counts(3).tolist()
    [1000000000, 500000000, 333333333]
    """
    return (1e9 / np.arange(1, pieces + 1)).astype(np.int64)


def agreement_of(teacher: Float, student: Float) -> float:
    """Correlation of the cosines of all pairs, -1..1; NaN where all are equal.

    teacher, student    float32 [n, any width] of the same texts, n >= 3

    >>> round(agreement_of(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32) + 0.1), 1)
    nan
    """
    pairs = np.triu_indices(len(teacher), k=1)
    found = []
    for vectors in (teacher, student):
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        found.append((unit @ unit.T)[pairs].astype(np.float64))
    if min(np.ptp(found[0]), np.ptp(found[1])) < 1e-6:
        return float("nan")
    return float(np.corrcoef(found[0], found[1])[0, 1])


def _as_it_is(
    name_or_path: str | os.PathLike[str],
    model: "SentenceTransformer",
    contract: Contract,
    target: Path,
    replace_folder: bool,
) -> StaticExport:
    from vecsmith.atomic import new_folder
    from vecsmith.models.export.checks import check_export, reference_vectors
    from vecsmith.models.save import save
    from vecsmith.models.static import StaticEncoder

    expected = reference_vectors(StaticEncoder.open(resolve_name(name_or_path)))
    with new_folder(target, replace=replace_folder) as folder:
        inner = folder / "model"
        lineage = tuple(contract.record.get("lineage") or ())
        written = save(model, inner, name=contract.name, licence=contract.record.get("licence"), lineage=lineage)
        for file in list(inner.iterdir()):
            file.rename(folder / file.name)
        inner.rmdir()
        report = check_export(
            expected, StaticEncoder.open(folder), model=contract.name, target="static", dtype="float32"
        )
        if (
            not report.same or (report.worst or 0.0) > 1e-6
        ):  # the same weights at another address may be added up in another order
            raise ParityFailed(f"the folder written gives other vectors than {contract.name}", report=report)
    return StaticExport(target, written, report, is_same=written.fingerprint == contract.fingerprint)


def _distilled(
    model: "SentenceTransformer", texts: Sequence[str] | None, vocabulary: int, dimension: int
) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from vecsmith.models.static_distillation import (
        choose_vocabulary,
        cut_tokenizer,
        piece_names,
        piece_vectors,
        start_weights,
        static_start,
        word_piece_tokenizer,
    )

    if texts is not None:
        return static_start(model, texts, vocabulary=vocabulary, dimension=dimension)
    full = word_piece_tokenizer(model)
    counts = guessed_counts(full.get_vocab_size())
    kept = choose_vocabulary(piece_names(full), counts, size=vocabulary)
    weights = start_weights(piece_vectors(model, kept), counts[kept], dimension=dimension)
    embedding = StaticEmbedding(cut_tokenizer(full, kept), embedding_weights=weights)
    return SentenceTransformer(modules=[embedding, Normalize()], device="cpu")


def _write_distilled(
    model: "SentenceTransformer",
    contract: Contract,
    student: "SentenceTransformer",
    target: Path,
    texts: Sequence[str] | None,
    measure: Measure | None,
    replace_folder: bool,
) -> StaticExport:
    from vecsmith.models.encode import encode
    from vecsmith.models.save import save

    compared = [*dict.fromkeys(texts)][:MOST_COMPARED] if texts is not None else [*_PROBE_TEXTS]
    if len(compared) < 3:
        raise NotEnoughData(f"{len(compared)} different texts; agreement is measured over pairs of 3 or more")
    vectors = [encode(each, compared, on_truncation="cut") for each in (model, student)]
    agreement = {"texts": len(compared), "correlation": round(agreement_of(*vectors), 4)}
    loss = None if measure is None else measure(model, student)
    lineage = (*(contract.record.get("lineage") or ()), f"distilled from {contract.name} ({contract.fingerprint})")
    name = f"{contract.name}-static"
    written = save(student, target, name=name, lineage=lineage, replace=replace_folder)
    return StaticExport(target, written, agreement=agreement, loss=loss)


_PROBE_TEXTS = (
    "The cat sat on the warm stone wall.", "A kitten sleeps in the sun on the bricks.", "how do I reset the router?",
    "Hold the reset button for ten seconds.", "The parliament passed the new budget on Friday.",
    "Lawmakers approved next year's spending.", "Proteins fold into shapes that decide what they do.",
    "The enzyme binds the substrate at its active site.", "Boil the pasta for nine minutes in salted water.",
    "Add garlic, olive oil and chopped parsley.", "The striker scored twice in the second half.",
    "The match ended in a draw after extra time.", "def parse_date(text: str) -> datetime: ...",
    "Returns the date that a string stands for.", "Interest rates rose by a quarter of a point.",
    "The central bank tightened its policy again.", "The telescope saw light from a distant galaxy.",
    "Astronomers measured the redshift of a quasar.", "She plays the violin in the city orchestra.",
    "The concert hall was full for the symphony.",
)  # fmt: skip
