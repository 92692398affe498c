"""English text of many kinds under open licences, for distilling a teacher into a small model.

Reads what `SETS` lists from a data root, leaves out every text in which a sentence of a judged set stands, and returns
one dataset of kind `plain`: similarities are compared within a batch, so texts of all sets must meet in one.
"""

import csv
import gzip
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TextIO

from vecsmith.data.readers.docstring_packages import is_held_out
from vecsmith.errors import DataError
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = ["SETS", "judged_letters", "letters", "plain_sentences", "read_distillation_texts"]

# name -> (folder, licence, at most so many texts of an unlimited reading)
SETS: dict[str, tuple[str, str, int]] = {
    "wikispeedia sentence": ("wikispeedia", "CC BY-SA 3.0", 60_000),
    "wikispeedia passage": ("wikispeedia", "CC BY-SA 3.0", 12_000),
    "wordnet definition": ("wordnet", "CC BY 4.0", 50_000),
    "wordnet member definition": ("wordnet", "CC BY 4.0", 15_000),
    "wordnet example": ("wordnet", "CC BY 4.0", 20_000),
    "arxiv title": ("arxiv_titles", "CC0 1.0 (metadata)", 40_000),
    "arxiv sentence": ("arxiv_mixed", "CC0 1.0 (metadata)", 40_000),
    "arxiv passage": ("arxiv_mixed", "CC0 1.0 (metadata)", 12_000),
    "arxiv title and abstract": ("arxiv_mixed", "CC0 1.0 (metadata)", 6_000),
    "snli dev": ("nli_snli", "CC BY-SA 4.0", 20_000),
    "wiki_split": ("wiki_split", "CC BY-SA 3.0", 15_000),
    "goemotions train": ("goemotions", "CC BY 4.0", 15_000),
}
DOCSTRINGS = "docstrings"  # of standard-library packages that are never judged on; PSF licence

_SENTENCE_END = re.compile(r"""(?<=[.!?])["')\]]?\s+(?=[A-Z0-9"'(])""")
_OTHER = re.compile(r"[^0-9a-z]+")


def read_distillation_texts(
    root: str | Path, *, limit: int | None = None, seed: int = 0, docstrings: bool = True, progress: Progress = SILENT
) -> "Dataset":
    """A dataset of `plain` records, one per distinct text; their `dataset` is the set that a text came from.

    root        the folder that holds the sets' folders
    limit       at most so many texts, of all sets in proportion; docstrings come first. None: up to 305,000
    seed        decides the samples and the order
    docstrings  also the first paragraphs of the running Python's own docstrings, without held-out packages
    raises      DataError: a set is missing, or a judged set, without which nothing can be left out
    """
    from vecsmith.data.dataset import Dataset

    root = Path(root)
    judged = judged_letters(root)
    found = [*(docstring_texts(judged) if docstrings else ()), *sampled_texts(root, judged, seed, progress)]
    with Dataset.build(name="distillation_texts") as builder:
        for name, text in found[:limit]:
            builder.add_record(query=text, kind="plain", label=None, group=name)
        return builder.finish()


def letters(text: str) -> str:
    """What is compared between training text and judged text: lower-case ASCII letters and digits.

    >>> letters("A man, playing.") == letters("a man playing")
    True
    """
    return _OTHER.sub("", text.lower())


def plain_sentences(text: str) -> list[str]:
    """A text cut after . ! ? where an upper-case letter, digit, quote or bracket follows."""
    return [piece.strip() for piece in _SENTENCE_END.split(text)]


def judged_letters(root: str | Path) -> set[str]:
    """`letters` of all sentences of STS-B, STS12-15, SICK and SciFact, every split; of SciFact whole texts as well."""
    root, found = Path(root), set[str]()
    for path in (root / "stsb/stsbenchmark.tsv.gz", root / "sts12_15/sts12_15.tsv.gz"):
        found |= {letters(row[side]) for row in _table(path) for side in ("sentence1", "sentence2")}
    for path in sorted((root / "sick").glob("SICK_*.txt")):
        found |= {letters(row[side]) for row in _table(path) for side in ("sentence_A", "sentence_B")}
    for row in _lines(root / "scifact/corpus.jsonl.gz"):
        found |= {letters(text) for text in (row["title"], row["text"], *plain_sentences(row["text"]))}
    found |= {letters(row["text"]) for row in _lines(root / "scifact/queries.jsonl")}
    return found - {""}


def docstring_texts(judged: set[str]) -> Iterator[tuple[str, str]]:
    """First paragraphs of the standard library's docstrings, at most 400 characters, without held-out packages."""
    from vecsmith.data.readers.docstrings import read_docstrings

    seen: set[str] = set()
    for document in read_docstrings("stdlib"):
        text = " ".join(document.text.split("\n\n")[0].split())[:400]
        if is_held_out(document.package) or len(text) < 20 or text in seen or letters(text) in judged:
            continue
        seen.add(text)
        yield DOCSTRINGS, text


def sampled_texts(root: Path, judged: set[str], seed: int, progress: Progress = SILENT) -> list[tuple[str, str]]:
    """(set, text) of all `SETS`, shuffled: distinct by `letters`, and none that holds a judged sentence."""
    random = Random(seed)
    pools = {**_wikispeedia(root, random), **_wordnet(root, random), **_arxiv(root, random), **_others(root)}
    seen: set[str] = set()
    chosen: list[tuple[str, str]] = []
    left_out: Counter[str] = Counter()
    for name, (_, _, most) in SETS.items():
        texts = list(dict.fromkeys(text.strip() for text in pools[name]))
        random.shuffle(texts)
        taken = 0
        for text in texts:
            key = letters(text)
            if len(key) < 4 or key in seen:
                continue
            if holds_judged(text, key, judged):
                left_out[name] += 1
                continue
            seen.add(key)
            chosen.append((name, text))
            taken += 1
            if taken == most:
                break
    random.shuffle(chosen)
    progress.say(f"{sum(left_out.values()):,} texts left out because a judged sentence stands in them")
    return chosen


def holds_judged(text: str, key: str, judged: set[str]) -> bool:
    """Whether the text, one of its sentences, or what stands before or after its first colon is a judged sentence."""
    return key in judged or any(letters(part) in judged for part in (*plain_sentences(text), *text.split(": ", 1)))


def _wikispeedia(root: Path, random: Random) -> dict[str, list[str]]:
    sentences, passages = [], []
    for article in _lines(root / "wikispeedia/articles.jsonl.xz"):
        for paragraph in (each for section in article["sections"] for each in section["p"]):
            cut = plain_sentences(paragraph)
            sentences += [each for each in cut if 25 < len(each) < 320]
            if len(cut) >= 3:
                passages += _passage(cut, random.randrange(len(cut) - 2))
    return {"wikispeedia sentence": sentences, "wikispeedia passage": passages}


def _wordnet(root: Path, random: Random) -> dict[str, list[str]]:
    synsets = list(_lines(root / "wordnet/oewn_synsets.jsonl.gz"))
    examples = [each for synset in synsets for each in synset.get("examples") or []]
    return {
        "wordnet definition": [each["definition"] for each in synsets if len(each["definition"]) > 12],
        "wordnet member definition": [f"{random.choice(each['members'])}: {each['definition']}" for each in synsets],
        "wordnet example": [each if isinstance(each, str) else each.get("text", "") for each in examples],
    }


def _arxiv(root: Path, random: Random) -> dict[str, list[str]]:
    """Titles and abstracts, without the papers of arxiv_cs, on which searching is shown."""
    shown = {row["id"] for row in _lines(root / "arxiv_cs/arxiv_cs.jsonl.gz")}
    papers = list(_lines(root / "arxiv_mixed/arxiv_mixed.jsonl.gz"))
    titles = [row["title"] for row in _table(root / "arxiv_titles/arxiv_titles.tsv.gz") if row["id"] not in shown]
    abstracts = [" ".join(paper["abstract"].split()) for paper in papers]
    sentences, passages = [], []
    for abstract in abstracts:
        cut = plain_sentences(abstract)
        sentences += [each for each in cut if 30 < len(each) < 320]
        passages += _passage(cut, random.randrange(max(1, len(cut) - 2)))
    whole = [f"{paper['title']} {text}"[:900] for paper, text in zip(papers, abstracts, strict=True)]
    return {
        "arxiv title": titles,
        "arxiv sentence": sentences,
        "arxiv passage": passages,
        "arxiv title and abstract": whole,
    }


def _others(root: Path) -> dict[str, list[str]]:
    """Captions (SNLI's development part only: its test part is judged on), rewritten sentences, comments."""
    pairs = _table(root / "nli_snli/snli_dev.tsv.gz")
    rewritten = _table(root / "wiki_split/wiki_split.tsv.gz")
    halves = [half for row in rewritten for half in row["split_sentences"].split("<::::>")]
    with _open(root / "goemotions/train.tsv.gz") as file:
        comments = [line.rstrip("\n").split("\t")[0] for line in file]
    return {
        "snli dev": [row["premise"] for row in pairs] + [row["hypothesis"] for row in pairs],
        "wiki_split": [row["sentence"] for row in rewritten] + halves,
        "goemotions train": comments,
    }


def _passage(sentences: list[str], start: int) -> list[str]:
    """Three sentences in a row, where they have 150 to 600 characters."""
    text = " ".join(sentences[start : start + 3])
    return [text] if 150 < len(text) < 600 else []


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with _open(path) as file:
        for line in file:
            yield json.loads(line)


def _table(path: Path) -> list[dict[str, str]]:
    with _open(path) as file:
        rows: Iterable[dict[str, str]] = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return list(rows)


def _open(path: Path) -> TextIO:
    if not path.is_file():
        raise DataError(
            "missing; the texts for distillation need it (see SETS), or judged text could not be left out", file=path
        )
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8", newline="\n")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return open(path, encoding="utf-8", newline="\n")
