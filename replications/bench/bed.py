"""The bed: docstrings of installed packages, fixed by a list of content ids; read at run time, no text is committed.

Three views of a thing (words of its name, summary, body) and its package give retrieval, graded lists and classes. What
is missing here is counted: figures of fewer than 95 % of the list are those of another bed, and no state follows.
"""

import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replications.bench.docs import ID_BYTES, BedDoc, as_doc
from vecsmith.atomic import open_atomic, write_json
from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import content_digest
from vecsmith.data.readers.docstrings import docstring_manifest, read_docstrings
from vecsmith.progress import SILENT, Progress

__all__ = ["LEAST_COVERAGE", "MODEL", "Bed", "encode_texts", "open_bed"]

LIST = Path(__file__).with_name("bed.json")
LEAST_COVERAGE = 0.95
MODEL = "all-MiniLM-L6-v2"
VIEWS = ("words", "summary", "body")

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Bed:
    """n things, those of the train side first.

    words, summary, body   lists of n texts
    package     int64 [n], numbers of `names`
    trains      how many are of the train side; the rest is judged
    vectors     {view: float32 [n, 384]}, frozen, at length 1
    share       of the list that is here, 0..1; `missing` says per package what is not
    """

    words: list[str]
    summary: list[str]
    body: list[str]
    package: NDArray[np.int64]
    names: list[str]
    trains: int
    vectors: dict[str, Float]
    share: float
    missing: dict[str, str]

    def __len__(self) -> int:
        return len(self.words)

    @property
    def is_other(self) -> bool:
        """Whether too much is missing for figures to be compared with the committed ones."""
        return self.share < LEAST_COVERAGE

    @property
    def test(self) -> slice:
        return slice(self.trains, len(self))

    @property
    def train(self) -> slice:
        return slice(0, self.trains)

    def describe(self) -> dict[str, object]:
        """What an evidence file says of the bed."""
        return {
            "list": hashlib.sha256(LIST.read_bytes()).hexdigest()[:16],
            "model": MODEL,
            "share": round(self.share, 4),
            "train": self.trains,
            "test": len(self) - self.trains,
            "missing": self.missing,
        }

    def vectors_of(self, dataset: Dataset) -> Float:
        """float32 [inputs, 384]: the frozen vector of each text of a dataset made from the bed.

        raises   KeyError: a text that is not of the bed
        """
        contents = dataset.inputs.column("content").to_pylist()
        return self._all[[self._places[content] for content in contents]]

    @cached_property
    def _all(self) -> Float:
        return np.concatenate([self.vectors[view] for view in VIEWS])

    @cached_property
    def _places(self) -> dict[bytes, int]:
        texts = [*self.words, *self.summary, *self.body]
        return {content_digest(text): place for place, text in enumerate(texts)}


def open_bed(work: Path, *, most: int | None = None, vectors: bool = True, progress: Progress = SILENT) -> Bed:
    """Read the bed and its frozen vectors; both are kept in `work`: packages are parsed and the model runs once.

    most      only so many of each side, for a quick try
    vectors   False leaves them out, where only texts are needed
    """
    listed = json.loads(LIST.read_text(encoding="utf-8"))["packages"]
    sides = {(name, id): side for name in listed for side in ("train", "test") for id in _ids(listed[name][side])}
    docs = _read(sides, work, progress)
    parts = [[doc for doc in docs if sides[doc.package, doc.id] == side][:most] for side in ("train", "test")]
    kept, names = [*parts[0], *parts[1]], list(listed)
    texts = {view: [getattr(doc, view) for doc in kept] for view in VIEWS}
    return Bed(
        **texts,
        package=np.array([names.index(doc.package) for doc in kept], dtype=np.int64),
        names=names,
        trains=len(parts[0]),
        vectors=_vectors(texts, work, progress) if vectors else {},
        share=len(docs) / len(sides),
        missing=_missing(listed, docs),
    )


def _ids(joined: str) -> list[bytes]:
    """Ids from the hex digits of all of them."""
    width = 2 * ID_BYTES
    return [bytes.fromhex(joined[start : start + width]) for start in range(0, len(joined), width)]


def _read(wanted: Container[tuple[str, bytes]], work: Path, progress: Progress) -> list[BedDoc]:
    """The docstrings of the list that are here, in the order of their ids read backwards."""
    state = hashlib.sha256(f"{docstring_manifest()} {LIST.read_bytes().hex()}".encode()).hexdigest()[:16]
    file = work / f"bed-texts-{state}.json"
    if file.is_file():
        rows = json.loads(file.read_text(encoding="utf-8"))
        return [BedDoc(bytes.fromhex(id), *texts) for id, *texts in rows]
    found: dict[tuple[str, bytes], BedDoc] = {}
    for each in read_docstrings("installed", progress=progress):
        if (doc := as_doc(each)) and (doc.package, doc.id) in wanted:
            found.setdefault((doc.package, doc.id), doc)
    docs = sorted(found.values(), key=lambda doc: doc.id[::-1])
    work.mkdir(parents=True, exist_ok=True)
    write_json(file, [[doc.id.hex(), doc.package, doc.words, doc.summary, doc.body] for doc in docs])
    return docs


def _missing(listed: dict[str, dict[str, str]], docs: list[BedDoc]) -> dict[str, str]:
    """Per package that is not complete: how many are missing, and the versions listed and here."""
    here = Counter(doc.package for doc in docs)
    words = {}
    for name, package in listed.items():
        count = len(_ids(package["train"])) + len(_ids(package["test"]))
        if here[name] < count:
            try:
                version = importlib.metadata.version(package["distribution"])
            except importlib.metadata.PackageNotFoundError:
                version = "not installed"
            words[name] = f"{count - here[name]} of {count} missing; listed {package['version']}, here {version}"
    return words


def _vectors(texts: dict[str, list[str]], work: Path, progress: Progress) -> dict[str, Float]:
    """Vectors per view."""
    joined = encode_texts([text for view in VIEWS for text in texts[view]], work, progress)
    return dict(zip(VIEWS, np.split(joined, len(VIEWS)), strict=True))


def encode_texts(texts: list[str], work: Path, progress: Progress = SILENT) -> Float:
    """Frozen vectors of texts, float32 [n, 384] at length 1; those that `work` has not are computed and added to it."""
    file = work / f"bed-vectors-{MODEL}.npz"
    digests = [content_digest(text) for text in texts]
    wanted = dict(zip(digests, texts, strict=True))
    known: dict[bytes, Float] = {}
    if file.is_file():
        with np.load(file, allow_pickle=False) as kept:
            joined = kept["digests"].tobytes()
            known = {joined[16 * place : 16 * place + 16]: row for place, row in enumerate(kept["vectors"])}
    lacking = [digest for digest in wanted if digest not in known]
    if lacking:
        from vecsmith.models.load import load

        model = load(MODEL, on_truncation="cut")
        with progress.task("encode the bed", total=len(lacking), unit="texts"):
            found = model.encode([wanted[digest] for digest in lacking], normalize_embeddings=True)
        known |= dict(zip(lacking, np.asarray(found, dtype=np.float32), strict=True))
        work.mkdir(parents=True, exist_ok=True)
        with open_atomic(file) as out:
            names = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(-1, 16)
            np.savez(out, digests=names, vectors=np.stack(list(known.values())))
    return np.stack([known[digest] for digest in digests])
