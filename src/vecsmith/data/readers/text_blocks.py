"""Headings and paragraphs of plain text, Markdown and reStructuredText; every offset is one of the text given."""

import re
from collections.abc import Callable, Iterator

from vecsmith.data.passages import Block, paragraphs

__all__ = ["markdown_blocks", "plain_blocks", "rst_blocks"]

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_MARKDOWN_RULE = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")
_RST_RULE = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*\Z")
_LONGEST_TITLE = 500  # characters; a longer line is no heading, and is not matched against
_LINE = re.compile(r"[^\n]*\n?")
_NO_TITLE = re.compile(r"[ \t]|[-*+>|#] |\d+[.)] ")  # a list, a quote, a table: no underlined heading

_Line = tuple[int, str]  # where it starts, what it says without its line end


def plain_blocks(text: str) -> Iterator[Block]:
    """Paragraphs; plain text has no headings that could be told from short lines."""
    yield from paragraphs(text)


def markdown_blocks(text: str) -> Iterator[Block]:
    """Paragraphs and headings (`# one`, or underlined); what is fenced as code holds no heading. Front matter is left
    out."""
    lines = _lines(text)
    yield from _blocks(text, lines, _markdown_headings(lines), _front_matter_end(lines))


def rst_blocks(text: str) -> Iterator[Block]:
    """Paragraphs and headings (underlined, or also overlined); levels in the order in which the styles appear."""
    lines = _lines(text)
    yield from _blocks(text, lines, _rst_headings(lines), 0)


def _lines(text: str) -> list[_Line]:
    return [(found.start(), found.group().rstrip("\r\n")) for found in _LINE.finditer(text) if found.group()]


def _front_matter_end(lines: list[_Line]) -> int:
    """The offset after a YAML block that opens the file; 0 where there is none."""
    if not lines or lines[0][1].rstrip() != "---":
        return 0
    for place, (_, line) in enumerate(lines[1:200], start=1):
        if line.rstrip() in ("---", "..."):
            return lines[place + 1][0] if place + 1 < len(lines) else lines[place][0] + len(line)
    return 0


def _blocks(
    text: str, lines: list[_Line], headings: Iterator[tuple[int, int, str, int]], start: int
) -> Iterator[Block]:
    """Headings (first line, line after the last, title, level) and the paragraphs between them."""
    for first, after, title, level in headings:
        if lines[first][0] < start:
            continue
        yield from paragraphs(text, start, lines[first][0])
        start = lines[after][0] if after < len(lines) else len(text)
        yield Block(lines[first][0], start, title, level)
    yield from paragraphs(text, start)


def _markdown_headings(lines: list[_Line]) -> Iterator[tuple[int, int, str, int]]:
    fence = ""
    for place, (_, line) in enumerate(lines):
        if len(line) > _LONGEST_TITLE:
            continue
        if opened := _FENCE.match(line):
            mark = opened.group(1)
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence) and not line[opened.end() :].strip():
                fence = ""
        elif fence:
            continue
        elif found := _ATX.match(line):
            if title := (found.group(2) or "").strip():
                yield place, place + 1, title, len(found.group(1))
        elif place + 1 < len(lines) and line.strip() and _stands_alone(lines, place, _is_atx):
            rule = _MARKDOWN_RULE.match(lines[place + 1][1][:_LONGEST_TITLE])
            if rule and not _NO_TITLE.match(line) and not _MARKDOWN_RULE.match(line):
                yield place, place + 2, line.strip(), 1 if rule.group(1)[0] == "=" else 2


def _rst_headings(lines: list[_Line]) -> Iterator[tuple[int, int, str, int]]:
    levels: dict[tuple[str, bool], int] = {}
    place = 0
    while place + 1 < len(lines):
        title, rule = lines[place][1], lines[place + 1][1]
        if len(title) > _LONGEST_TITLE or len(rule) > _LONGEST_TITLE:
            place += 1
            continue
        overlined = _RST_RULE.match(title) and place + 2 < len(lines) and lines[place + 2][1].rstrip() == title.rstrip()
        if overlined and rule.strip() and not _RST_RULE.match(rule):
            first, last, title, mark = place, place + 3, rule.strip(), (title[0], True)
        elif _underlines(title, rule) and _stands_alone(lines, place, _never):
            first, last, title, mark = place, place + 2, title.strip(), (rule[0], False)
        else:
            place += 1
            continue
        level = levels.setdefault(mark, len(levels) + 1)
        yield first, last, title, min(level, 6)
        place = last


def _underlines(title: str, rule: str) -> bool:
    """A rule as long as the title that it stands under; short ones ("--", "::") are no headings."""
    if not title.strip() or _NO_TITLE.match(title) or _RST_RULE.match(title) or not _RST_RULE.match(rule):
        return False
    return len(rule.rstrip()) >= max(3, len(title.rstrip()))


def _stands_alone(lines: list[_Line], place: int, is_heading: Callable[[str], object]) -> bool:
    """Whether a blank line, a heading or the start of the file stands above: a paragraph's last line is no title."""
    return place == 0 or not lines[place - 1][1].strip() or bool(is_heading(lines[place - 1][1]))


def _is_atx(line: str) -> object:
    return len(line) <= _LONGEST_TITLE and _ATX.match(line)


def _never(line: str) -> object:
    return None
