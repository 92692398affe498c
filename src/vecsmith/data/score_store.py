"""Where a teacher's scores are kept: one number per (query, document), in write-once shards beside what made them.

    FOLDER/teacher.json            format, version, and the scorer's description
    FOLDER/scores-000000.arrow     query, document, given: binary[16] content ids; score: float64
    FOLDER/LOCK

A shard appears whole or not at all, so a killed writer loses at most the pairs of its last seconds and doubles none.
"""

import fcntl
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vecsmith.atomic import open_atomic, write_json
from vecsmith.data.inputs import CONTENT_BYTES
from vecsmith.errors import ContractError, Damaged, DataError, Locked

__all__ = ["ScoreStore", "pair_name"]

DESCRIPTION, FORMAT, VERSION = "teacher.json", "vecsmith.teacher_scores", 1
SHARD = re.compile(r"scores-(\d{6})\.arrow")
NOTHING = bytes(CONTENT_BYTES)  # `given` of a score that hangs on the pair alone
COLUMNS = pa.schema(
    [pa.field(name, pa.binary(CONTENT_BYTES), nullable=False) for name in ("query", "document", "given")]
    + [pa.field("score", pa.float64(), nullable=False)]
)


def pair_name(query: bytes, document: bytes, given: bytes | None = None) -> bytes:
    """48 bytes that name a score: the content digests of query, document, and of what else it hangs on."""
    return query + document + (NOTHING if given is None else given)


class ScoreStore:
    """Scores of one scorer. `len`, `name in store`, `store[name]` with the bytes of `pair_name`.

    All names are held in memory, about 150 bytes a pair.
    """

    def __init__(self, folder: Path | str, scorer: Mapping[str, Any]) -> None:
        """Open a folder of scores, or start one.

        scorer    what made the scores, JSON: name, kind, fingerprint, template, ...; every entry is compared
        raises    ContractError: the folder holds scores of another scorer (the entries that differ are named);
                  DataError: the folder holds something else; Damaged: a shard that cannot be read, a pair stored twice
        """
        self.folder, self.scorer = Path(folder), json.loads(json.dumps(dict(scorer)))
        if (self.folder / DESCRIPTION).is_file():
            _check_scorer(self.folder, _described(self.folder), self.scorer)
        else:
            if self.folder.is_dir() and any(path.name != "LOCK" for path in self.folder.iterdir()):
                raise DataError(f"holds files but no {DESCRIPTION}; give a new folder for the scores", file=folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / DESCRIPTION, {"format": FORMAT, "version": VERSION, "scorer": self.scorer})
        self._scores: dict[bytes, float] = {}
        self._read()

    @classmethod
    def open(cls, folder: Path | str) -> "ScoreStore":
        """The scores in a folder, whoever made them. DataError: no scores there."""
        return cls(folder, _described(Path(folder)))

    def __len__(self) -> int:
        return len(self._scores)

    def __contains__(self, name: bytes) -> bool:
        return name in self._scores

    def __getitem__(self, name: bytes) -> float:
        return self._scores[name]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder as its only writer, and see what an earlier one added. Locked: another process writes."""
        with open(self.folder / "LOCK", "a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                words = f"another process is scoring into {self.folder}; wait for it, or give another folder"
                raise Locked(words) from None
            self._read()
            yield

    def add(self, names: Sequence[bytes], scores: np.ndarray) -> None:
        """Write one shard, durably: names of new pairs and their scores, float64 [n], finite."""
        if not names:
            return
        parts = [[name[at : at + CONTENT_BYTES] for name in names] for at in (0, CONTENT_BYTES, 2 * CONTENT_BYTES)]
        columns = [pa.array(part, pa.binary(CONTENT_BYTES)) for part in parts] + [pa.array(scores, pa.float64())]
        last = max((int(match[1]) for match in self._shards().values()), default=-1)
        with (
            open_atomic(self.folder / f"scores-{last + 1:06d}.arrow") as file,
            pa.ipc.new_file(file, COLUMNS) as writer,
        ):
            writer.write_table(pa.table(columns, schema=COLUMNS))
        self._scores.update(zip(names, scores.tolist(), strict=True))

    def _shards(self) -> dict[Path, re.Match[str]]:
        found = {path: SHARD.fullmatch(path.name) for path in sorted(self.folder.iterdir())}
        return {path: match for path, match in found.items() if match}

    def _read(self) -> None:
        scores: dict[bytes, float] = {}
        count = 0
        for path in self._shards():
            table = _shard(path)
            parts = [table[name].to_pylist() for name in COLUMNS.names]
            count += table.num_rows
            scores.update(
                (query + document + given, score) for query, document, given, score in zip(*parts, strict=True)
            )
        if len(scores) < count:
            raise Damaged(f"{self.folder}: {count - len(scores):,} pairs stand twice; shards were copied. Score again")
        self._scores = scores


def _shard(path: Path) -> pa.Table:
    try:
        with pa.OSFile(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise Damaged(f"{path} cannot be read ({error}); remove that file, its pairs are scored again") from error
    if table.schema.names != COLUMNS.names or table.schema.types != COLUMNS.types:
        raise Damaged(f"{path} has the columns {', '.join(table.schema.names)}; remove that file and score again")
    return table


def _described(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"no {DESCRIPTION} here, so these are no teacher scores", file=folder) from error
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read ({error}); remove {folder} and score again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise Damaged(f"{path} is no description of teacher scores; remove {folder} and score again")
    if description.get("version") != VERSION or not isinstance(description.get("scorer"), dict):
        raise Damaged(f"{path} has version {description.get('version')}, known here is {VERSION}; upgrade vecsmith")
    scorer: dict[str, Any] = description["scorer"]
    return scorer


def _check_scorer(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differ = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    if differ:
        words = "; ".join(f"{name} {_short(found.get(name))}, now {_short(wanted.get(name))}" for name in differ[:4])
        words += f"; and {len(differ) - 4} more" if len(differ) > 4 else ""
        raise ContractError(
            f"{folder} holds {found.get('kind', 'scores')} scores of {found.get('name', 'another scorer')}: {words}. "
            "Scores of two scorers are never mixed; give another folder, or the scorer that made these"
        )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 48 else f"{text[:45]}..."
