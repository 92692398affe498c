"""The documents of a source one by one, each as it is served and as it is judged, with the query made from it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from vecsmith.data.pairs.docstrings import code_pair, docstring_pair
from vecsmith.data.pairs.headings import heading_pair
from vecsmith.data.pairs.pair import Pair
from vecsmith.data.pairs.pretext import sentence_pair
from vecsmith.data.passages import Passage, cut_passages, squeeze
from vecsmith.data.readers.code_blocks import Definition
from vecsmith.data.readers.docstring_packages import package_split
from vecsmith.data.readers.docstrings import read_docstrings
from vecsmith.data.readers.documents import FileEntry, SourceFile, list_files, read_folder
from vecsmith.data.readers.found import Found
from vecsmith.data.split import split_groups
from vecsmith.progress import SILENT, Progress

__all__ = ["BALANCED_BELOW", "SHARES", "Unit", "docstring_units", "document_units"]

SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}
FEWEST_GROUPS = 10  # files (or folders) below which a split goes through the files, by their sections
BALANCED_BELOW = 30  # groups; with fewer a hash alone would miss the shares, with more no group need ever move
PASSAGES_PER_GROUP = 8  # of a file without enough sections


@dataclass(frozen=True, slots=True)
class Unit:
    """A document.

    served    its text as search users find and read it
    judged    its text as models are judged on it: without what its query was made from (the same where nothing was)
    pair      the query made from it, if any; its positive is `judged`
    group     what must not stand on two sides; split: its side, None where that is not yet decided
    """

    id: str | None  # None: named by its content
    served: str
    judged: str
    attributes: dict[str, object] = field(default_factory=dict)
    pair: Pair | None = None
    group: str | None = None
    split: str | None = None
    negatives: tuple[str, ...] = ()
    score: float | None = None  # of the pair, 0..1
    origin: tuple[str, int] | None = None  # file and row, for messages


def docstring_units(
    source: str, *, limit: int | None, seed: int, found: Found, progress: Progress = SILENT
) -> Iterator[Unit]:
    """One unit per docstring; packages go to sides by `package_split`."""
    for docstring in read_docstrings(source, limit=limit, seed=seed, found=found, progress=progress):
        pair = docstring_pair(docstring.text, docstring.identifier, docstring.parent, seed=seed)
        yield Unit(
            id=docstring.id,
            served=docstring.text,
            judged=pair.positive if pair else docstring.text,
            attributes=docstring.attributes,
            pair=pair,
            group=docstring.package,
            split=package_split(docstring.package),
        )


def document_units(
    path: str | Path,
    *,
    max_tokens: int,
    count_tokens: Callable[[str], int],
    group: str = "file",
    limit: int | None,
    seed: int,
    found: Found,
    progress: Progress = SILENT,
) -> Iterator[Unit]:
    """One unit per passage, id `path#n`; passages under a heading are asked for by it, others by a cut sentence.

    group    "file" or "folder": what stays on one side. Where there are fewer than ten, the sections of files do
    limit    at most so many passages, from files chosen by hash
    """
    entries = list_files(path)
    with progress.task("read documents", total=sum(entry.size for entry in entries), unit="B") as task:
        sides = _sides(entries, group, seed)
        # In the order of hashes, a larger limit only adds files.
        order = None if limit is None else lambda name: xxhash.xxh3_64_intdigest(name.encode(), seed=seed)
        files = read_folder(path, found=found, order=order)
        sizes = {entry.name: entry.size for entry in entries}
        for file in files:
            passages = list(
                cut_passages(file.blocks, max_tokens=max_tokens, count_tokens=count_tokens, room_for_heading=True)
            )
            for unit in _file_units(file, passages, sides, group, seed):
                if limit is not None and found.documents >= limit:
                    return
                found.documents += 1
                yield unit
            task.advance(sizes.get(file.name, 0))


def _group_name(name: str, group: str) -> str:
    return name.rpartition("/")[0] if group == "folder" else name


def _sides(entries: list[FileEntry], group: str, seed: int) -> dict[str, str] | None:
    """Side of each file or folder; None where there are too few and files are split by section."""
    sizes: dict[str, int] = {}
    for entry in entries:
        name = _group_name(entry.name, group)
        sizes[name] = sizes.get(name, 0) + entry.size
    if len(sizes) < FEWEST_GROUPS:
        return None
    if len(sizes) >= BALANCED_BELOW:
        return split_groups(list(sizes), SHARES, seed)
    weights = [name for name, size in sizes.items() for _ in range(1 + size * 1000 // max(1, sum(sizes.values())))]
    return split_groups(weights, SHARES, seed, balanced=True)


def _file_units(
    file: SourceFile, passages: list[Passage], sides: dict[str, str] | None, group: str, seed: int
) -> Iterator[Unit]:
    many_sections = len({passage.section for passage in passages}) >= FEWEST_GROUPS
    code = {part.start: part for part in file.definitions}
    for number, passage in enumerate(passages):
        name = _group_name(file.name, group)
        side = sides[name] if sides is not None else None
        if sides is None:
            name = f"{file.name}#{passage.section if many_sections else number // PASSAGES_PER_GROUP}"
        pair = _passage_pair(file, passage, code, seed)
        heading_is_apart = passage.heading and file.format != "python"
        served = f"{passage.heading}\n{passage.text}" if heading_is_apart else passage.text
        yield Unit(
            id=f"{file.name}#{number}",
            served=served,
            judged=pair.positive if pair else passage.text,
            attributes={
                "path": file.name,
                "folder": file.folder,
                "title": file.title,
                "heading": passage.heading,
                "start": passage.start,
                "end": passage.end,
            },
            pair=pair,
            group=name,
            split=side,
        )


def _passage_pair(file: SourceFile, passage: Passage, code: Mapping[int, Definition], seed: int) -> Pair | None:
    if not file.definitions:
        return heading_pair(passage.heading, file.title, passage.text) or sentence_pair(passage.text, seed=seed)
    part = code.get(passage.start)
    if part is None:
        return None  # code between definitions, or the rest of a long one
    if part.docstring is None:
        return code_pair(passage.text, "", "", part.name)
    docstring = squeeze(file.text[slice(*part.docstring)])
    return code_pair(passage.text, docstring, part.summary, part.name) if docstring in passage.text else None
