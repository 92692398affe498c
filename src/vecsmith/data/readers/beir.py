"""Retrieval sets in the layout of BEIR: documents, queries, and who answers whom.

    corpus.jsonl    {"_id": "d1", "title": "Ankles", "text": "Rest helps.", "metadata": {"year": 2019}}
    queries.jsonl   {"_id": "q1", "text": "what helps a sprained ankle?"}
    qrels/test.tsv  query-id  corpus-id  score

each plain or packed. `mteb_retrieval.py` finds the same three in the folders of mteb; both are read here, once for
judging (`read_texts`, `read_judgements`) and once into a dataset (`write_retrieval`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecsmith.data.readers.rows import open_rows
from vecsmith.data.readers.splits import SIDES, side_of
from vecsmith.data.readers.table_formats import read_delimited
from vecsmith.data.readers.unpacking import ENDINGS, unpacked_name
from vecsmith.errors import DataError

__all__ = ["RetrievalFiles", "Text", "beir_files", "is_beir", "one_of", "read_judgements", "read_texts"]

LAYOUT = "a retrieval set is a folder in the layout of BEIR"


@dataclass(frozen=True)
class RetrievalFiles:
    """Where the parts of a retrieval set lie; several files of one part are read one after another.

    judgements      split -> files
    instructions    files of {"query-id", "instruction"}: what goes before a query
    prefix          goes before every id, so that sets can be read together
    attributes      of every document (a language)
    passed_over     names of files that are none of these
    """

    corpus: tuple[Path, ...]
    queries: tuple[Path, ...]
    judgements: Mapping[str, tuple[Path, ...]]
    instructions: tuple[Path, ...] = ()
    prefix: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()

    def named(self) -> dict[str, tuple[Path, ...]]:
        """Role or split -> files."""
        named = {"corpus": self.corpus, "queries": self.queries, "instructions": self.instructions, **self.judgements}
        return {name: files for name, files in named.items() if files}


@dataclass(frozen=True)
class Text:
    """A document or query with its place; `rest` are the cells that are neither id, title nor text."""

    id: str
    text: str
    title: str
    rest: dict[str, Any]
    file: Path
    row: int


def is_beir(folder: Path) -> bool:
    """Whether a folder has judgements in `qrels/` and a corpus or queries as one file each."""
    return (folder / "qrels").is_dir() and any(
        unpacked_name(entry.name) in ("corpus.jsonl", "queries.jsonl") for entry in folder.iterdir()
    )


def beir_files(folder: Path) -> RetrievalFiles:
    """The files of a folder in the layout of BEIR. DataError: one is missing."""
    corpus, queries = one_of(folder, "corpus.jsonl"), one_of(folder, "queries.jsonl")
    found: dict[str, tuple[Path, ...]] = {}
    passed_over = []
    for file in sorted((folder / "qrels").iterdir() if (folder / "qrels").is_dir() else ()):
        name = unpacked_name(file.name)
        if name.endswith(".tsv") and file.is_file():
            found[name.removesuffix(".tsv")] = (file,)
    if known := {name for name in found if name in SIDES or name in SIDES.values()}:
        passed_over = [found.pop(name)[0].name for name in sorted(found.keys() - known)]
    if not found:
        raise DataError(f"no qrels/SPLIT.tsv (train, dev, test); {LAYOUT}", file=folder)
    judgements = {side_of(name): files for name, files in found.items()}
    return RetrievalFiles((corpus,), (queries,), judgements, passed_over=tuple(passed_over))


def one_of(folder: Path, name: str) -> Path:
    """The file of this name, plain or packed. DataError: there is none."""
    for path in (folder / name, *(folder / f"{name}{ending}" for ending in ENDINGS)):
        if path.is_file():
            return path
    raise DataError(f"no {name}, plain or packed ({' '.join(ENDINGS)}); {LAYOUT}", file=folder)


def read_texts(files: tuple[Path, ...], *, titles: bool = True) -> Iterator[Text]:
    """Documents or queries of jsonl (or another table's) rows, in their order; ids may repeat here.

    titles   of documents: the text is title, a space and text, without outer white space (as mteb joins them); of
             queries False: the text as it is
    raises   DataError: a row without "_id" (or "id"), or with a text that is none
    """
    for file in files:
        for row, cells in open_rows(file):
            rest = dict(cells)
            identity = rest.pop("_id", None)
            identity = rest.pop("id", None) if identity is None else identity
            if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
                raise DataError('no "_id"; judgements need one text per id', file=file, row=row)
            title, text = _text(rest, "title", file, row), _text(rest, "text", file, row)
            yield Text(str(identity), f"{title} {text}".strip() if titles else text, title, rest, file, row)


def _text(rest: dict[str, Any], name: str, file: Path, row: int) -> str:
    value = rest.pop(name, None)
    if value is None or isinstance(value, str):
        return value or ""
    raise DataError(f"{str(value)[:40]!r} is no text", file=file, row=row, column=name)


def read_judgements(file: Path) -> Iterator[tuple[int, str, str, float]]:
    """Row, query id, document id and grade of a qrels file: three columns with a header, or the four of trec_eval.

    raises   DataError: a line that is no judgement, or a file whose first line is one, where a header belongs
    """
    if unpacked_name(file.name).endswith(".tsv"):
        for row, cells in read_delimited(file, delimiter="\t", quoting=False):
            if row == 1 and _is_number(list(cells)[-1]):
                raise DataError(
                    'the first line is a judgement, where a header is expected. Put "query-id<tab>corpus-id<tab>score" '
                    "before it",
                    file=file,
                )
            yield row, *_judgement(list(cells.values()), file, row)
        return
    for row, cells in open_rows(file):
        if missing := [name for name in ("query-id", "corpus-id", "score") if cells.get(name) is None]:
            raise DataError(f'no "{missing[0]}"; a judgement has query-id, corpus-id and score', file=file, row=row)
        yield row, *_judgement([str(cells[name]) for name in ("query-id", "corpus-id", "score")], file, row)


def _judgement(cells: list[str], file: Path, row: int) -> tuple[str, str, float]:
    """Query id, document id and gain of a line with three columns, or four as trec_eval has them."""
    if len(cells) == 4:
        cells = [cells[0], *cells[2:]]
    try:
        query, document, gain = cells
        return query, document, float(gain)
    except ValueError as error:
        raise DataError(f"{cells!r:.80} is no judgement: query, document, relevance", file=file, row=row) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
