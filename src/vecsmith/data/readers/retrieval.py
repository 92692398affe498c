"""From the files of a retrieval set to documents and records.

Judgements are read first, so that of all documents only the judged ones are remembered, and a corpus may be larger
than memory.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from vecsmith.data.readers.beir import RetrievalFiles, Text, read_judgements, read_texts
from vecsmith.data.readers.rows import open_rows
from vecsmith.errors import DataError

if TYPE_CHECKING:
    from vecsmith.data.dataset_builder import DatasetBuilder

__all__ = ["RetrievalColumns", "write_retrieval"]

SCALARS = (str, int, float, bool, date, type(None))
Grades = dict[str, dict[str, dict[str, float]]]  # split -> query -> document -> grade


class RetrievalColumns:
    """What the cells beside id, title and text are: attributes, left out, or an error.

    The members of a cell "metadata" are attributes, as BEIR means them; those of a query are left out.
    """

    def __init__(self, attributes: Sequence[str] | str | None, ignore: Sequence[str] | str) -> None:
        self.attributes = _listed(attributes)
        self.ignored = _listed(ignore)

    def of(self, text: Text) -> dict[str, Any]:
        """The attributes of a document."""
        found = dict(text.rest)
        metadata = found.pop("metadata", None) or {}
        if not isinstance(metadata, dict):
            raise DataError("no object", file=text.file, row=text.row, column="metadata")
        result = {}
        for name, value in found.items():
            if "*" in self.attributes or name in self.attributes:
                result[name] = _attribute(name, value, text)
            elif "*" not in self.ignored and name not in self.ignored:
                raise _undeclared(name, text)
        for name, value in metadata.items():
            if name not in self.ignored:
                result.setdefault(name, _attribute(name, value, text))
        if text.title and "title" in self.attributes:
            result["title"] = text.title
        return result

    def check_query(self, text: Text) -> None:
        """DataError: a query has a cell that nobody declared."""
        for name in text.rest:
            if name in ("metadata", "instruction") or {name, "*"} & {*self.ignored}:
                continue
            raise DataError(
                f'neither recognised nor left out; a query has an id and a text. Leave it out: ignore=["{name}"], '
                f"--ignore {name}",
                file=text.file,
                row=text.row,
                column=name,
            )


def write_retrieval(
    builder: "DatasetBuilder",
    files: RetrievalFiles,
    columns: RetrievalColumns,
    *,
    on_empty: str = "error",
    on_repeat: str = "error",
) -> Counter[str]:
    """Every document, and one record per split and judged query: documents graded above 0 are its positives, with
    their grades, those graded 0 or less its negatives.

    on_empty   "error", or "skip": documents and queries without text are left out and counted
    on_repeat  "error", or "first": of documents with one id the first stays
    returns    what was passed over: reason -> count
    raises     DataError: a query or document id twice, a judgement of an unknown query, cells nobody declared
    """
    grades = _grades(files)
    judged = {document for queries in grades.values() for each in queries.values() for document in each}
    passed_over: Counter[str] = Counter()
    texts: dict[str, str] = {}
    for read in read_texts(files.corpus):
        if not read.text:
            _refuse_empty(read, on_empty, "document")
            passed_over["documents without text"] += 1
            continue
        attributes = {**columns.of(read), **files.attributes}
        origin = (str(read.file), read.row)
        builder.add_document(
            files.prefix + read.id, read.text, attributes, origin=origin, keep_first=on_repeat == "first"
        )
        if read.id in judged:
            texts[read.id] = read.text
    queries = _queries(files, grades, columns, on_empty, passed_over)
    instructions = _instructions(files)
    for split, judgements in grades.items():
        for query, given in judgements.items():
            if query in queries:
                known = {document: grade for document, grade in given.items() if document in texts}
                passed_over["judgements of documents that the corpus lacks"] += len(given) - len(known)
                fields = _fields([(texts[document], grade) for document, grade in known.items()])
                if not fields["positives"]:
                    passed_over["queries without an answer in the corpus"] += 1
                    continue
                asked = queries[query]
                builder.add_record(
                    query=asked.text,
                    split=split,
                    id=files.prefix + query,
                    instruction_query=instructions.get(query) or asked.rest.get("instruction") or None,
                    origin=(str(asked.file), asked.row),
                    **fields,
                )
    return +passed_over


def _fields(graded: list[tuple[str, float]]) -> dict[str, Any]:
    """Positives with their grades, the highest where a text is graded twice, and negatives that are no positives."""
    best: dict[str, float] = {}
    for text, grade in graded:
        best[text] = max(grade, best.get(text, grade))
    positives = [text for text, grade in best.items() if grade > 0]
    return {
        "positives": positives,
        "negatives": [text for text, grade in best.items() if grade <= 0],
        "grades": [best[text] for text in positives],
    }


def _grades(files: RetrievalFiles) -> Grades:
    grades: Grades = {}
    for split, paths in files.judgements.items():
        for file in paths:
            for _, query, document, grade in read_judgements(file):
                grades.setdefault(split, {}).setdefault(query, {})[document] = grade
    return grades


def _queries(
    files: RetrievalFiles, grades: Grades, columns: RetrievalColumns, on_empty: str, passed_over: Counter[str]
) -> dict[str, Text]:
    """The judged queries. DataError: one is missing or stands twice."""
    judged = {query for queries in grades.values() for query in queries}
    found: dict[str, Text] = {}
    empty: set[str] = set()
    for query in read_texts(files.queries, titles=False):
        columns.check_query(query)
        if query.id not in judged:
            passed_over["queries that nobody judged"] += 1
        elif not query.text.strip():
            _refuse_empty(query, on_empty, "query")
            passed_over["queries without text"] += 1
            empty.add(query.id)
        elif query.id in found and found[query.id].text != query.text:
            raise DataError(f'the id "{query.id}" stands twice; an id names one text', file=query.file, row=query.row)
        else:
            found[query.id] = query
    for paths in files.judgements.values():
        for file in paths:
            for row, name, _, _ in read_judgements(file) if judged - found.keys() - empty else ():
                if name not in found and name not in empty:
                    names = ", ".join(path.name for path in files.queries)
                    raise DataError(f'judges the query "{name}", which {names} lacks', file=file, row=row)
    return found


def _instructions(files: RetrievalFiles) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files.instructions:
        for row, cells in open_rows(file):
            query, instruction = cells.get("query-id"), cells.get("instruction")
            if query is None or not isinstance(instruction, str):
                raise DataError("an instruction has query-id and instruction", file=file, row=row)
            found[str(query)] = instruction
    return found


def _attribute(name: str, value: Any, text: Text) -> Any:
    if isinstance(value, SCALARS) or (isinstance(value, list) and all(isinstance(each, SCALARS) for each in value)):
        return value
    raise DataError(
        f"an object or a list of more than texts ({str(value)[:40]}); attributes are text, numbers, true or false, "
        f'dates and lists of text. Leave it out: ignore=["{name}"], --ignore {name}',
        file=text.file,
        row=text.row,
        column=name,
    )


def _undeclared(name: str, text: Text) -> DataError:
    return DataError(
        f'neither declared nor recognised. Keep it for filters: attributes=["{name}"], --attributes {name}; or leave '
        f'it out: ignore=["{name}"], --ignore {name}; "*" stands for all such columns',
        file=text.file,
        row=text.row,
        column=name,
    )


def _refuse_empty(text: Text, on_empty: str, what: str) -> None:
    if on_empty != "skip":
        raise DataError(
            f'the {what} "{text.id}" is empty; it needs text. Fill it, or pass on_empty="skip" (counted)',
            file=text.file,
            row=text.row,
        )


def _listed(value: Sequence[str] | str | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
