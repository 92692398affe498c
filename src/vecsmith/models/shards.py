"""Encode more than memory holds: a folder of shards with a manifest, that goes on where it was killed.

    manifest.json     contract, prompt, and for each shard its rows, its hash and the hash of its inputs
    embedding.json    the contract, for people and tools
    vectors-000000.npy ...   float32 [rows, width] or codes, never pickled

A shard counts when the manifest names it. The manifest is replaced whole after each shard, so a kill loses at most the
shard at work, and no row is ever lost or doubled.
"""

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from vecsmith.atomic import disk_errors, open_atomic, write_json
from vecsmith.contract.compare import Same, compare
from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.errors import ContractError, Damaged, DataError, Locked, UsageError
from vecsmith.models.encode import Counts, Driver, backend_of, distinct, log
from vecsmith.models.quantise import Quantiser, quantiser_of, stored_quantiser
from vecsmith.models.recent import Recent
from vecsmith.progress import SILENT, Progress, Task

if TYPE_CHECKING:
    from vecsmith.models.encoder import Encoder
    from vecsmith.models.model import Model

__all__ = ["Shards", "encode_to"]

Float = NDArray[np.float32]

FORMAT = 1
SHARD_ROWS = 32_768
MANIFEST = "manifest.json"
DTYPES = ("float32", "int8", "uint8")


class Shards:
    """A folder of vectors written by `encode_to`."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.contract = Contract.from_json(manifest["contract"], str(folder / MANIFEST))
        self.counts = Counts(**manifest["counts"])

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Shards":
        """A finished folder.

        raises    DataError: no manifest; Damaged: not finished, or a shard is missing or of another size
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        if manifest is None:
            raise DataError(
                f"no {MANIFEST}; vectors are written by vecsmith encode MODEL INPUT --output DIR", file=folder
            )
        if not manifest["complete"]:
            raise Damaged(
                f"{folder} is not finished: {_rows(manifest):,} rows so far; run the same encode command again"
            )
        _check_sizes(folder, manifest)
        return cls(folder, manifest)

    @property
    def rows(self) -> int:
        return _rows(self.manifest)

    @property
    def width(self) -> int:
        return int(self.manifest["width"])

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> "Iterator[NDArray[Any]]":
        """Each shard as a memory map, float32 [rows, width] or codes, in the order of the inputs."""
        for entry in self.manifest["shards"]:
            yield _map_shard(self.folder / entry["file"], (entry["rows"], self.code_width), self.dtype)

    @property
    def quantiser(self) -> Quantiser | None:
        """How the vectors are stored; None for float32."""
        return quantiser_of(self.contract)

    @property
    def dtype(self) -> str:
        """numpy's name of what a shard holds: float32, int8 or uint8."""
        return str(self.manifest["dtype"])

    @property
    def code_width(self) -> int:
        """Columns of a shard: the width, or for bits an eighth of it."""
        return self.width if self.quantiser is None else self.quantiser.code_width

    @property
    def clipped(self) -> int:
        """Components that lay outside the stored ranges."""
        return int(self.manifest.get("clipped", 0))

    def vectors(self) -> Float:
        """All vectors as numbers, codes turned back: float32 [rows, width]."""
        held = self.quantiser
        return self.array() if held is None else held.dequantise(self.array())

    def array(self) -> "NDArray[Any]":
        """All vectors in memory as they are stored: float32 [rows, width], or codes [rows, code_width]."""
        whole = np.empty((self.rows, self.code_width), dtype=self.dtype)
        at = 0
        for shard in self:
            whole[at : at + len(shard)] = shard
            at += len(shard)
        return whole

    def verify(self) -> None:
        """Raise Damaged unless every shard has the hash that the manifest names."""
        for entry in self.manifest["shards"]:
            with open(self.folder / entry["file"], "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != entry["sha256"]:
                raise Damaged(f"{self.folder / entry['file']} was changed after it was written; encode again")


def encode_to(
    model: "Model | Encoder",
    inputs: Iterable[str],
    path: str | os.PathLike[str],
    *,
    prompt: str | None = None,
    precision: str = "float32",
    shard_rows: int = SHARD_ROWS,
    on_truncation: str = "warn",
    total: int | None = None,
    progress: Progress = SILENT,
) -> Shards:
    """Encode a stream of texts into a folder of shards; run again after a kill, it goes on.

    model         what `vecsmith.load` or `open_encoder` gives: it needs a contract
    inputs        any iterable of texts, read once; on resuming give it again from its start: finished rows are
                  compared by hash and skipped
    path          a new or empty folder, or one that this function wrote
    prompt        role: "query", "document", a prompt's name, or None for the model's default prompt
    precision     how vectors are stored: "float32"; "int8" or "uint8" by the ranges in the model's contract, what lies
                  outside them cut and counted; "binary" or "ubinary"
    shard_rows    rows of a shard; memory holds the texts and vectors of one
    total         number of inputs for the progress bar, where it is known
    raises        ContractError: the folder was begun with another model or prompt; DataError: its inputs were others
                  (with the row), or an input is no text; Locked; DiskFull: finished shards stay, run again; UsageError
    """
    if isinstance(inputs, str):
        raise UsageError('inputs is one text; pass an iterable of texts: ["..."]')
    if shard_rows < 1:
        raise UsageError(f"shard_rows is {shard_rows}; it must be 1 or more")
    folder = Path(path)
    backend = backend_of(model)
    recent = Recent(backend.dimension) if backend.is_padded else None  # a static model is faster than looking up
    driver = Driver(backend, backend.prompt_for(prompt), prompt, on_truncation=on_truncation, recent=recent)
    contract = model.contract.seen(prompt=driver.prompt or None)
    quantiser = None if precision == "float32" else stored_quantiser(contract, precision, backend.dimension)
    if quantiser is not None:
        contract = contract.seen(quantiser=quantiser.to_json(), width=quantiser.width)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(folder):
        manifest = _begin(folder, contract, driver, quantiser)
        stream = iter(inputs)
        with progress.task("encoding", total=total, unit="texts") as task:
            _skip_finished(folder, manifest, stream, task)
            _write_rest(folder, manifest, stream, driver, quantiser, shard_rows, task)
    shards = Shards(folder, manifest)
    driver.say_truncated(shards.counts, progress)
    if shards.clipped:
        say = log.warning if progress is SILENT else progress.say
        say(
            f"{shards.clipped:,} components of {shards.rows:,} vectors lay outside the stored ranges and were cut to "
            "them; where these are many, calibrate on texts of this kind"
        )
    return shards


def _begin(folder: Path, contract: Contract, driver: Driver, quantiser: Quantiser | None) -> dict[str, Any]:
    """The folder's manifest, begun where it has none; refused where it was begun otherwise."""
    manifest = _read_manifest(folder)
    if manifest is None:
        found = sorted(
            p.name for p in folder.iterdir() if p.name != "LOCK" and not p.name.startswith(f"{MANIFEST}.tmp-")
        )
        if found:
            raise UsageError(f"{folder} holds other files ({found[0]}, ...) and no {MANIFEST}; give a new folder")
        manifest = {
            "format": FORMAT,
            "contract": contract.to_json(),
            "width": driver.backend.dimension,
            "dtype": "float32" if quantiser is None else quantiser.dtype,
            "clipped": 0,
            "prompt": driver.prompt,
            "on_truncation": driver.on_truncation,
            "complete": False,
            "counts": asdict(Counts()),
            "shards": [],
        }
        write_json(folder / MANIFEST, manifest)
        contract.write(folder)
        return manifest
    _require_same_job(folder, manifest, contract, driver)
    _check_sizes(folder, manifest)
    if not (folder / FILE_NAME).is_file():  # killed between the first manifest and it
        contract.write(folder)
    return manifest


def _require_same_job(folder: Path, manifest: dict[str, Any], contract: Contract, driver: Driver) -> None:
    held = Contract.from_json(manifest["contract"], str(folder / MANIFEST))
    different = []
    plain = {"prompt": None, "quantiser": None}
    if not isinstance(compare(held.seen(**plain), contract.seen(**plain)), Same):
        different.append(
            f"the model {held.name} ({held.fingerprint}, {held.width} wide), not {contract.name} "
            f"({contract.fingerprint}, {contract.width} wide)"
        )
    elif not isinstance(compare(held.seen(prompt=None), contract.seen(prompt=None)), Same):
        now, then = (found.view.get("quantiser") or {} for found in (contract, held))
        kept, wanted = then.get("precision", "float32"), now.get("precision", "float32")
        different.append(f"precision {kept}, not {wanted}" if kept != wanted else f"other ranges of its {kept} codes")
    if manifest["prompt"] != driver.prompt:
        different.append(f"the prompt {manifest['prompt']!r}, not {driver.prompt!r}")
    chunked = "chunk" in (manifest["on_truncation"], driver.on_truncation)
    if chunked and manifest["on_truncation"] != driver.on_truncation:
        different.append(f"on_truncation={manifest['on_truncation']!r}, not {driver.on_truncation!r}")
    if different:
        raise ContractError(
            f"{folder} was begun with {', and '.join(different)}. Go on with what it was begun with, or give a new "
            "folder"
        )


def _check_sizes(folder: Path, manifest: dict[str, Any]) -> None:
    for entry in manifest["shards"]:
        file = folder / entry["file"]
        if not file.is_file() or file.stat().st_size != entry["size"]:
            raise Damaged(f"{file} is missing or cut short; remove {folder} and encode again")


def _skip_finished(folder: Path, manifest: dict[str, Any], stream: Iterator[str], task: Task) -> None:
    """Move the stream past the rows that are written, after comparing them."""
    row = 0
    for entry in manifest["shards"]:
        batch = list(islice(stream, entry["rows"]))
        if len(batch) != entry["rows"] or _hash(batch) != entry["inputs"]:
            raise DataError(
                f"the inputs between rows {row + 1:,} and {row + entry['rows']:,} are not those that {folder} was "
                "begun with. Give the same inputs in the same order, or a new folder"
            )
        row += len(batch)
        task.advance(len(batch))
    if manifest["complete"] and next(stream, None) is not None:
        raise DataError(
            f"{folder} was finished with {row:,} inputs and now there are more; give a new folder for the longer list"
        )


def _write_rest(
    folder: Path,
    manifest: dict[str, Any],
    stream: Iterator[str],
    driver: Driver,
    quantiser: Quantiser | None,
    shard_rows: int,
    task: Task,
) -> None:
    while not manifest["complete"]:
        batch = list(islice(stream, shard_rows))
        changed: dict[str, Any] = {"complete": not batch}
        if batch:
            first = _rows(manifest) + 1
            texts, places = distinct(batch, first_row=first)
            found = driver.run(texts, places, task, first_row=first)
            stored, clipped = (found.vectors, 0) if quantiser is None else quantiser.quantise(found.vectors)
            entry = _write_shard(folder / f"vectors-{len(manifest['shards']):06d}.npy", stored)
            changed["clipped"] = manifest.get("clipped", 0) + clipped
            changed["shards"] = [*manifest["shards"], {**entry, "inputs": _hash(batch)}]
            changed["counts"] = asdict(Counts(**manifest["counts"]) + found.counts)
        write_json(folder / MANIFEST, {**manifest, **changed})
        manifest.update(changed)


def _write_shard(file: Path, vectors: NDArray[Any]) -> dict[str, Any]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(vectors))
    # Written as bytes: numpy's own writer reports a full disk without saying that it is one.
    parts = (header.getvalue(), np.ascontiguousarray(vectors).data.cast("B"))
    digest = hashlib.sha256()
    with open_atomic(file) as stream:
        for part in parts:
            stream.write(part)
            digest.update(part)
    size = sum(len(part) for part in parts)
    return {"file": file.name, "rows": len(vectors), "size": size, "sha256": digest.hexdigest()}


def _map_shard(file: Path, shape: tuple[int, int], dtype: str) -> "NDArray[Any]":
    """The rows of a shard, mapped; what is no plain matrix of this shape and type is never unpickled or guessed at."""
    try:
        vectors: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy parses the header as Python: any of its parser's errors may come
        raise Damaged(f"{file} cannot be read ({error}); remove {file.parent} and encode again") from error
    if not isinstance(vectors, np.ndarray) or vectors.shape != shape or vectors.dtype != dtype:
        raise Damaged(f"{file} holds no {dtype} {shape[0]} x {shape[1]}; remove {file.parent} and encode again")
    return vectors


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{folder / MANIFEST} cannot be read ({error}); remove {folder} and encode again") from error
    if not known:
        raise Damaged(
            f"{folder / MANIFEST} has format {manifest['format']!r}, known here is {FORMAT}; upgrade vecsmith"
        )
    if not _is_whole(manifest):
        raise Damaged(f"{folder / MANIFEST} was changed: it lacks what it is written with; encode again")
    return manifest


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether a manifest has every part, each of its type, and names no file outside its folder."""
    kinds = {"contract": dict, "width": int, "complete": bool, "counts": dict, "shards": list, "on_truncation": str}
    if not all(isinstance(manifest.get(key), kind) for key, kind in kinds.items()) or "prompt" not in manifest:
        return False
    if manifest.get("dtype") not in DTYPES or manifest["width"] < 1:
        return False
    counts, known = manifest["counts"], asdict(Counts())
    if not counts.keys() <= known.keys() or not all(isinstance(number, int) for number in counts.values()):
        return False
    entry_kinds = {"file": str, "rows": int, "size": int, "sha256": str, "inputs": str}
    return all(
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), kind) for key, kind in entry_kinds.items())
        and Path(entry["file"]).name == entry["file"]
        and 0 <= entry["rows"] * manifest["width"] <= 8 * entry["size"]  # a component takes a bit or more
        for entry in manifest["shards"]
    )


def _rows(manifest: dict[str, Any]) -> int:
    return sum(int(entry["rows"]) for entry in manifest["shards"])


def _hash(texts: list[str]) -> str:
    """xxh3-128 of texts with their lengths, so that moving a border between two texts changes it."""
    digest = xxhash.xxh3_128()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it dies with its process."""
    with open(folder / "LOCK", "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"another process is encoding into {folder}; wait for it, or give another folder") from None
        yield
