"""Cut a text into passages: at headings, then paragraphs, then sentences, then words.

A reader turns a file into blocks (`Block`: a heading or a paragraph with its place in the file); `cut_passages` packs
the paragraphs of a section into passages of at most `max_tokens`. Tokens are counted once per paragraph and, only
where a paragraph is too long, once per sentence: the time is linear in the text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Block", "Passage", "cut_passages", "paragraphs", "sentence_spans", "squeeze"]

# A sentence ends after . ! ? (and closing quotes) before white space, or after a full-width stop.
_SENTENCE_END = re.compile(r"""(?<=[.!?])["')\]”’]*\s+|(?<=[。！？])""")
_WHITE = re.compile(r"\s")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|Dr|Mr|Mrs|Ms|St|Fig|Eq|al|approx)|\b[A-Z])\.$")


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a file: a heading (level 1 is the highest) or a paragraph (level 0).

    start, end   character offsets into the decoded file
    text         what a reader sees; where it is text[start:end] of the file, white space apart, `exact` holds
    lines        whether line ends are the only places to cut at (program code)
    """

    start: int
    end: int
    text: str
    level: int = 0
    exact: bool = True
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file, small enough for a model.

    start, end   offsets into the decoded file; of whole blocks where a block is not exact (HTML)
    text         the piece, white space squeezed; the heading is not in it
    heading      the heading above it, "" before the first
    section      number of the section in the file, from 0
    """

    start: int
    end: int
    text: str
    heading: str
    section: int


def cut_passages(
    blocks: Iterable[Block], *, max_tokens: int, count_tokens: Callable[[str], int], room_for_heading: bool = False
) -> Iterator[Passage]:
    """Passages in the order of the file; none crosses a heading.

    max_tokens        >= 1; what is packed together is counted by the sum of its parts
    room_for_heading  leave room to put the heading before the passage: up to half of max_tokens
    count_tokens      tokens of a text; called once per paragraph, and per sentence or word of those too long
    raises            ValueError: max_tokens below 1
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; at least 1 is needed")
    heading, section, waiting, used, room = "", 0, list[Block](), 0, max_tokens
    for block in blocks:
        if block.level:
            yield from _join(waiting, heading, section)
            heading, section, waiting, used = squeeze(block.text), section + 1, [], 0
            if room_for_heading:
                room = max(1, max_tokens - min(count_tokens(heading), max_tokens // 2))
            continue
        for piece, tokens in _pieces(block, room, count_tokens):
            if waiting and used + tokens > room:
                yield from _join(waiting, heading, section)
                waiting, used = [], 0
            waiting.append(piece)
            used += tokens
    yield from _join(waiting, heading, section)


def squeeze(text: str) -> str:
    """White space as single spaces, none at the ends."""
    return " ".join(text.split())


def paragraphs(text: str, start: int = 0, end: int | None = None) -> Iterator[Block]:
    """The paragraphs of text[start:end]: runs of lines that are not blank."""
    end = len(text) if end is None else end
    first = last = -1  # of the paragraph that is open
    while start < end:
        line_end = text.find("\n", start, end)
        line_end = end if line_end < 0 else line_end
        if not text[start:line_end].strip():
            if first >= 0:
                yield Block(first, last, text[first:last])
            first = -1
        else:
            first, last = (start if first < 0 else first), line_end
        start = line_end + 1
    if first >= 0:
        yield Block(first, last, text[first:last])


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of the sentences: together they hold all of the text but the white space between them.

    >>> text = "See e.g. this. Is it? Yes."
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['See e.g. this.', 'Is it?', 'Yes.']
    """
    spans, start = [], 0
    for found in _SENTENCE_END.finditer(text):
        end = found.start() + len(found.group().rstrip())
        if found.end() > start and not _ABBREVIATION.search(text, max(start, end - 12), end):
            spans.append((start, end))
            start = found.end()
    spans.append((start, len(text)))
    return [trimmed for span in spans if (trimmed := _trim(text, *span))]


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without white space at its ends; None where nothing is left."""
    inner = text[start:end]
    left = len(inner) - len(inner.lstrip())
    right = len(inner.rstrip())
    return (start + left, start + right) if right > left else None


def _join(waiting: list[Block], heading: str, section: int) -> Iterator[Passage]:
    parts: list[str] = []
    for before, piece in zip([None, *waiting], waiting, strict=False):
        touches = before is not None and piece.exact and before.end == piece.start  # 一。二。: nothing stood between
        parts += [piece.text] if touches else ["\n", piece.text]
    if text := squeeze("".join(parts)):
        yield Passage(waiting[0].start, waiting[-1].end, text, heading, section)


def _pieces(block: Block, most: int, count: Callable[[str], int]) -> Iterator[tuple[Block, int]]:
    """The block whole, or cut into sentences (lines of code), or those into words, each with its tokens."""
    tokens = count(squeeze(block.text))
    if tokens <= most:
        yield block, tokens
        return
    spans = _line_spans(block.text) if block.lines else sentence_spans(block.text)
    for start, end in spans:
        tokens = count(squeeze(block.text[start:end]))
        if tokens <= most:
            yield _part(block, start, end), tokens
        else:
            for word_start, word_end, word_tokens in _word_runs(block.text, start, end, tokens, most, count):
                yield _part(block, word_start, word_end), word_tokens


def _line_spans(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(r"[^\n]*\S[^\n]*", text)]


def _word_runs(
    text: str, start: int, end: int, tokens: int, most: int, count: Callable[[str], int]
) -> Iterator[tuple[int, int, int]]:
    """Runs of words of at most `most` tokens: as many equal parts as the tokens ask for, then halves until each fits.

    A text is cut at the white space before a border; where there is none, in the middle of the word, down to one
    character.
    """
    if tokens <= most or end - start <= 1:
        yield start, end, tokens
        return
    # A tenth more parts than the tokens fill, so that few parts have to be counted twice.
    parts = min(end - start, max(2, tokens * 11 // (most * 10)))
    place = start
    for number in range(1, parts + 1):
        border = end if number == parts else _border(text, place, start + (end - start) * number // parts, end)
        if trimmed := _trim(text, place, border):
            inner = count(squeeze(text[slice(*trimmed)]))
            yield from _word_runs(text, *trimmed, inner, most, count)
        place = border


def _border(text: str, start: int, wished: int, end: int) -> int:
    """The white space nearest before a wished border, else the first one after it, else the border itself."""
    left = max(text.rfind(" ", start + 1, wished), text.rfind("\n", start + 1, wished))
    if left > start:
        return left
    right = _WHITE.search(text, wished, min(end - 1, 2 * wished - start))
    return right.start() if right else max(start + 1, wished)


def _part(block: Block, start: int, end: int) -> Block:
    """A stretch of the block's text; where the text is not the file's, the place stays that of the whole block."""
    if not block.exact:
        return Block(block.start, block.end, block.text[start:end], exact=False, lines=block.lines)
    return Block(block.start + start, block.start + end, block.text[start:end], lines=block.lines)
