"""What a reader sees of a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.readers.html_blocks import html_blocks


def test_scripts_styles_and_heads_are_dropped_and_headings_kept():
    page = (
        "<html><head><title>The &amp; title</title><style>p {}</style></head><body><h1>Top<a>¶</a></h1>"
        "<script>var x = '<p>no</p>'</script><p>One <b>bo</b>ld.<p>Two<br>lines<ul><li>item</li></ul></body>"
    )
    title, blocks = html_blocks(page)
    assert title == "The & title"
    assert [(block.level, block.text) for block in blocks] == [
        (1, "Top"),
        (0, "One bold."),
        (0, "Two"),
        (0, "lines"),
        (0, "item"),
    ]


def test_a_block_stands_where_it_was_read():
    page = "<body>\n<h2>Head</h2>\n<p>Some\ntext &lt; more</p></body>"
    _, blocks = html_blocks(page)
    assert page[blocks[1].start : blocks[1].end] == "Some\ntext &lt; more"
    assert blocks[1].text == "Some text < more"


@given(
    st.lists(
        st.sampled_from(
            [
                "<p>",
                "</p>",
                "<div>",
                "<h1>",
                "</h1>",
                "<b>",
                "text",
                "&amp;",
                "<!--",
                "-->",
                "<script>",
                "</script>",
                "<",
                ">",
                "\n",
            ]
        ),
        max_size=30,
    )
)
def test_broken_pages_are_read_without_an_error(parts):
    page = " ".join(parts)
    _, blocks = html_blocks(page)
    last = 0
    for block in blocks:
        assert last <= block.start <= block.end <= len(page)
        last = block.start


def test_a_head_that_is_never_closed_hides_no_body():
    assert html_blocks("<head><meta charset=utf-8><body><p>seen")[1][0].text == "seen"


@pytest.mark.parametrize(
    "odd", ["<![[x>", "<![if !IE]>", "<![CDATA[a]]>", "<![ 1>", "<!x y>", "<![unknown[x]]>", "<!>", "<![9"]
)
def test_a_marked_section_of_no_known_kind_is_passed_over(odd):
    _, blocks = html_blocks(f"<p>before</p>{odd}<p>after</p>")
    assert blocks[0].text == "before"
    assert odd == "<![9" or blocks[-1].text.endswith("after")
