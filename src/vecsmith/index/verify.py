"""Hold every stored file of an index to what the catalog says of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecsmith.index.attributes_check import contradictions
from vecsmith.index.catalog import Catalog
from vecsmith.index.segment import file_hash
from vecsmith.index.snapshot import Snapshot
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.models.encoder import Encoder

__all__ = ["Problem", "verify_files"]

SAMPLE_ROWS = 1000


@dataclass(frozen=True)
class Problem:
    """A file (or the catalog) and what is wrong with it."""

    path: Path
    words: str

    def __str__(self) -> str:
        return f"{self.path}: {self.words}"


def verify_files(
    folder: Path,
    catalog: Catalog,
    snapshot: Snapshot,
    encoder: "Encoder | None",
    *,
    deep: bool,
    progress: Progress = SILENT,
) -> list[Problem]:
    """Sizes and hashes of the files of all kept generations, and the catalog's own checks.

    encoder   with `deep`: encodes 1,000 rows anew; a vector that differs by more than 1e-4 is a problem
    """
    problems = [Problem(catalog.path, words) for words in catalog.check()]
    # Of a catalog that is damaged itself, only the generation that is open can be believed.
    kept = snapshot.pin.segments if problems else catalog.kept_segments()
    files = {
        folder / "segments" / live.name / name: written for live in kept for name, written in live.body["files"].items()
    }
    files |= {folder / "tombstones" / m["name"]: m for live in kept if (m := live.tombstones)}
    with progress.task("Verify", total=len(files), unit="files") as task:
        for path, written in files.items():
            problems += _check(path, written["bytes"], written["xxh3"])
            task.advance()
    problems += _check_contract(folder, snapshot)
    if deep and not problems:
        problems += _deep(folder, snapshot, encoder)
    return problems


def _check(path: Path, size: int, digest: str) -> list[Problem]:
    if not path.exists():
        return [Problem(path, f"missing; {size:,} bytes were written")]
    try:
        found = path.stat().st_size
        if found != size:
            return [Problem(path, f"{found:,} bytes found, {size:,} were written")]
        if (now := file_hash(path)) != digest:
            return [Problem(path, f"its content changed (xxh3 {now[:12]}, {digest[:12]} was written)")]
    except OSError as error:
        return [Problem(path, f"cannot be read: {error.strerror}")]
    return []


def _check_contract(folder: Path, snapshot: Snapshot) -> list[Problem]:
    """The copy of the contract that people and tools read against the catalog's, which counts."""
    path = folder / "embedding.json"
    if snapshot.pin.contract is None:
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [Problem(path, f"cannot be read: {error}")]
    return [] if found == snapshot.pin.contract else [Problem(path, "is not the contract that the catalog holds")]


def _deep(folder: Path, snapshot: Snapshot, encoder: "Encoder | None") -> list[Problem]:
    problems = [
        Problem(segment.folder, words) for segment in snapshot.segments for words in contradictions(segment.attributes)
    ]
    ids = [name for segment, rows in snapshot.live_rows() for name in segment.ids(rows)]
    if len(set(ids)) != len(ids):
        problems.append(Problem(folder, f"{len(ids) - len(set(ids)):,} ids stand in more than one living row"))
    lost = int((snapshot.find(ids) < 0).sum())
    if lost:
        problems.append(Problem(folder, f"{lost:,} ids of living rows are not found by the id index"))
    if encoder is None or not len(snapshot):
        return problems
    rng = np.random.default_rng(0)
    for segment, rows in snapshot.live_rows():
        chosen = np.sort(rng.choice(rows, size=min(len(rows), SAMPLE_ROWS), replace=False))
        fresh = encoder.encode_document(segment.texts(chosen)).astype(np.float64)
        if snapshot.settings["metric"] == "cosine":
            fresh /= np.maximum(np.linalg.norm(fresh, axis=1, keepdims=True), 1e-12)
        steps: NDArray[np.float32] = np.zeros(1, dtype=np.float32)
        if segment.part.line is not None:  # codes stand for values within half a step of them, inside their range
            offsets, steps = segment.part.line
            fresh = np.clip(fresh, offsets - 128.5 * steps, offsets + 127.5 * steps)
        difference = np.abs(fresh - segment.part.numbers(segment.part.vector_of[chosen]))
        apart = np.maximum(difference - 0.5 * steps, 0).max(axis=1)
        if (apart > 1e-4).any():
            worst = int(apart.argmax())
            problems.append(
                Problem(
                    segment.folder / ("rows.f32" if segment.part.line is None else "rows.i8"),
                    f"{int((apart > 1e-4).sum()):,} of {len(chosen):,} rows are not what the model gives for the text "
                    f'(worst: "{segment.ids([chosen[worst]])[0]}", apart by {apart[worst]:.2g})',
                )
            )
    return problems
