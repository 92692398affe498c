"""Headings of Markdown and reStructuredText."""

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from vecsmith.data.readers.text_blocks import markdown_blocks, plain_blocks, rst_blocks


def headings(blocks):
    return [(block.level, block.text) for block in blocks if block.level]


def headings_by_markdown_it(text):
    tokens = MarkdownIt().parse(text)
    return [
        (int(token.tag[1]), tokens[place + 1].content)
        for place, token in enumerate(tokens)
        if token.type == "heading_open" and tokens[place + 1].content
    ]


LINES = [
    "# One",
    "## Two ##",
    "### `three`",
    "#no",
    "####### seven",
    "words",
    "```",
    "~~~",
    "````",
    "Title\n=====",
    "Sub\n---",
]


@given(st.lists(st.sampled_from(LINES), max_size=20).map("\n\n".join))
def test_markdown_headings_are_those_of_another_parser(text):
    assert headings(markdown_blocks(text)) == headings_by_markdown_it(text)


@given(st.text(alphabet="#=-ab \n`~.", max_size=200))
def test_blocks_never_overlap_and_lose_no_word(text):
    for reader in (plain_blocks, rst_blocks, markdown_blocks):
        last, gaps = 0, []
        for block in reader(text):
            assert last <= block.start <= block.end <= len(text)
            if not block.level:
                assert text[block.start : block.end] == block.text
            gaps.append(text[last : block.start])
            last = block.end
        gaps.append(text[last:])
        if reader is plain_blocks:
            assert not "".join(gaps).strip()


def test_restructured_text_levels_follow_the_order_of_styles():
    text = "=====\nTitle\n=====\n\nPart\n----\n\nText::\n\n    code\n\nDeeper\n~~~~~~\n\nx\n\nPart 2\n------\n\ny\n"
    assert headings(rst_blocks(text)) == [(1, "Title"), (2, "Part"), (3, "Deeper"), (2, "Part 2")]


def test_a_table_rule_or_a_short_line_is_no_heading():
    assert headings(rst_blocks("a paragraph\nlast line\n----------\n\n- item\n-------\n\nab\n--\n")) == []
    assert headings(markdown_blocks("| a | b |\n|---|---|\n\n- item\n---\n")) == []


def test_front_matter_is_left_out():
    blocks = list(markdown_blocks("---\ntitle: x\n---\n# Head\n\ntext\n"))
    assert [block.text for block in blocks] == ["Head", "text"]
