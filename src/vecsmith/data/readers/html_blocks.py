"""Headings and paragraphs of HTML, by the standard library's parser: what a reader sees, without scripts and styles."""

import re
from html.parser import HTMLParser

from vecsmith.data.passages import Block, squeeze

__all__ = ["html_blocks"]

_INVISIBLE = {"script", "style", "noscript", "template", "svg", "math", "head", "iframe", "object", "select", "canvas"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_INLINE = {
    "a",
    "abbr",
    "acronym",
    "b",
    "bdi",
    "bdo",
    "big",
    "cite",
    "code",
    "data",
    "del",
    "dfn",
    "em",
    "font",
    "i",
    "ins",
    "kbd",
    "label",
    "mark",
    "q",
    "ruby",
    "rt",
    "rp",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "time",
    "tt",
    "u",
    "var",
    "wbr",
    "img",
    "input",
}
_HEADING = re.compile(r"h[1-6]\Z")


def html_blocks(text: str) -> tuple[str, list[Block]]:
    """The title ("" where there is none) and the blocks of a page, in its order.

    Each block has the place in the file of the stretch that it was read from, tags and all; its text is not that
    stretch (`exact` is false). Broken markup never raises: it is read as browsers would, roughly.
    """
    parser = _Parser(text)
    parser.feed(text)
    parser.close()
    parser.end_block(len(text))
    return squeeze("".join(parser.title)), parser.blocks


class _Parser(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title: list[str] = []
        self.parts: list[str] = []
        self.start: int | None = None
        self.level = 0
        self.hidden: list[str] = []  # open invisible elements, outermost first
        self.in_title = False
        self.line_starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """`<![x`: a comment up to the next `>`, as in browsers, where the parent finds no name that it knows."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i)

    def place(self) -> int:
        line, column = self.getpos()
        return self.line_starts[line - 1] + column

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if self.hidden and tag == "body":  # a head that was never closed
            self.hidden.clear()
        if tag in _INVISIBLE and tag not in _VOID:
            self.hidden.append(tag)
        elif tag == "title":
            self.in_title = not self.title
        elif tag not in _INLINE and not self.hidden:
            self.end_block(self.place())
            if _HEADING.match(tag):
                self.level = int(tag[1])

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE and not self.hidden:
            self.end_block(self.place())

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self.in_title = False
        elif tag in self.hidden:
            del self.hidden[self.hidden.index(tag) :]
        elif tag not in _INLINE and not self.hidden:
            self.end_block(self.place())

    def handle_data(self, data: str) -> None:
        if self.in_title:
            self.title.append(data)
        elif not self.hidden:
            if self.start is None and data.strip():
                self.start = self.place() + len(data) - len(data.lstrip())
            self.parts.append(data)

    def end_block(self, end: int) -> None:
        """Close the block that is being read, if it has text."""
        text = squeeze("".join(self.parts))
        if self.level:
            text = text.rstrip("#¶§ ") or text  # the mark of a permanent link
        if text and self.start is not None:
            self.blocks.append(Block(self.start, max(end, self.start), text, self.level, exact=False))
        self.parts, self.start, self.level = [], None, 0
