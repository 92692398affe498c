"""BM25: bm25s and a sum written out are the references; how rows are cut must not matter."""

import itertools
import math
import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.index.lexical import LexicalIndex
from vecsmith.index.postings import Postings, PostingsBuilder, merge_postings, postings_files
from vecsmith.index.tokens import split_word, terms

WORDS = ["red", "green", "blue", "parse_date", "HTTPServer", "the", "日本語", "größe", "über", "x1"]


def sample(seed: int, count: int = 200) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, weights=range(1, 11), k=draw.randint(0, 12))) for _ in range(count)]


def score_by_sum(texts: list[str], query: str, k1: float = 1.5, b: float = 0.75) -> list[float]:
    """The formula, written out with dicts."""
    documents = [terms(text) for text in texts]
    mean = max(1, sum(map(len, documents))) / len(documents)
    total = []
    for document in documents:
        score = 0.0
        for term in terms(query):
            n = sum(term in other for other in documents)
            tf = document.count(term)
            if tf:
                idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
                score += idf * tf / (tf + k1 * (1 - b + b * len(document) / mean))
        total.append(score)
    return total


@pytest.mark.parametrize("query", ["red parse_date", "the the green", "HTTPServer", "日本", "nothing of it", ""])
def test_scores_are_those_of_the_formula_written_out(query):
    texts = sample(1)
    expected = score_by_sum(texts, query)
    index = LexicalIndex.build(texts)
    assert np.allclose(index.scores(query, np.arange(len(texts))), expected, atol=1e-6)
    rows, scores = index.search([query], 20)
    order = sorted((i for i, s in enumerate(expected) if s > 0), key=lambda i: (-np.float32(expected[i]), i))[:20]
    assert np.allclose(scores[0][: len(order)], np.array(expected)[order], atol=1e-6)
    assert (rows[0][len(order) :] == -1).all()


def test_agrees_with_bm25s():
    bm25s = pytest.importorskip("bm25s")
    texts = sample(2, 500)
    oracle = bm25s.BM25(method="lucene", backend="numpy", k1=1.5, b=0.75)
    oracle.index([terms(text) for text in texts], show_progress=False)
    index = LexicalIndex.build(texts)
    for query in ["red blue", "parse date", "größe", "日本語 the"]:
        expected = oracle.get_scores(terms(query))
        assert np.allclose(index.scores(query, np.arange(500)), expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 60), max_size=3), dead=st.sets(st.integers(0, 59)))
def test_the_answer_does_not_depend_on_how_rows_are_cut_or_what_was_deleted_among_them(seed, cuts, dead):
    texts = sample(seed, 60)
    edges = [0, *sorted(cuts), 60]
    alive = np.array([row not in dead for row in range(60)])
    parts = []
    for low, high in itertools.pairwise(edges):
        parts.append((postings_of(texts[low:high]), alive[low:high]))
    cut = LexicalIndex(tuple(parts))
    living = [row for row in range(60) if row not in dead]
    whole = LexicalIndex.build([texts[row] for row in living])
    for query in ["red green", "the parse_date über"]:
        rows, scores = cut.search([query], 10)
        expected_rows, expected_scores = whole.search([query], 10)
        assert [r if r < 0 else living.index(r) for r in rows[0]] == expected_rows[0].tolist()
        assert (scores == expected_scores).all()


def test_many_queries_at_once_score_as_one_by_one():
    index, queries = LexicalIndex.build(sample(3)), sample(4, 40)
    one_by_one = [index.search([query], 5) for query in queries]
    rows, scores = index.search(queries, 5)
    assert (rows == np.concatenate([r for r, _ in one_by_one])).all()
    assert (scores == np.concatenate([s for _, s in one_by_one])).all()


def test_only_allowed_rows_are_found_and_the_statistics_stay():
    index = LexicalIndex.build(["red", "red red", "blue"])
    allowed = np.array([True, False, True])
    rows, scores = index.search(["red"], 3, allowed=allowed)
    assert rows.tolist() == [[0, -1, -1]]
    assert scores[0][0] == index.scores("red", np.array([0]))[0]


def test_a_word_that_stands_more_than_65535_times_counts_as_that_often():
    index = LexicalIndex.build(["red " * 70_000, "red " * 65_535])
    assert index.parts[0][0].counts.tolist() == [65_535, 65_535]


def test_hits_return_every_row_that_ties_with_the_last():
    rows, scores = LexicalIndex.build(["red"] * 5 + ["blue"]).hits("red", 2)
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert len(set(scores.tolist())) == 1


def test_an_empty_collection_has_no_hits():
    for index in (LexicalIndex.build([]), LexicalIndex(()), LexicalIndex.build(["", "..."])):
        rows, scores = index.search(["red"], 2)
        assert (rows == -1).all()
        assert np.isneginf(scores).all()


def test_a_negative_k_is_refused():
    with pytest.raises(ValueError, match="k is -1"):
        LexicalIndex.build(["red"]).search(["red"], -1)


def test_written_postings_open_as_they_were(tmp_path):
    before = postings_of(sample(5))
    before.write(tmp_path / "lexical")
    after = Postings.open(tmp_path / "lexical")
    for name in ("keys", "starts", "rows", "counts", "lengths"):
        assert (getattr(before, name) == getattr(after, name)).all()
    assert {path.name for path in (tmp_path / "lexical").iterdir()} == set(postings_files())


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("parseHTTPDate", ["parse", "http", "date", "parsehttpdate"]),
        ("snake_case_2", ["snake", "case", "2", "snake_case_2"]),
        ("__init__", ["init"]),
        ("Straße", ["strasse"]),
        ("utf8", ["utf8"]),
        ("東京", ["東京"]),
        ("字", ["字"]),
        ("हिन्दी", ["हिन्दी"]),
        ("_", []),
    ],
)
def test_words_split_by_case_underscore_and_script(word, expected):
    assert list(split_word(word)) == expected


def test_composed_and_decomposed_text_give_the_same_terms():
    text = "größe café हिन्दी ﬁne"
    assert terms(unicodedata.normalize("NFD", text)) == terms(unicodedata.normalize("NFC", text))


def test_half_a_surrogate_pair_is_a_term_like_others():
    rows, _ = LexicalIndex.build(["a\ud800b red", "blue"]).search(["red"], 1)
    assert rows[0][0] == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 60), max_size=3), dead=st.sets(st.integers(0, 59)))
def test_merged_postings_are_those_of_the_living_texts(seed, cuts, dead):
    texts = sample(seed, 60)
    alive = np.array([row not in dead for row in range(60)])
    parts = [(postings_of(texts[a:b]), alive[a:b]) for a, b in itertools.pairwise([0, *sorted(cuts), 60])]
    parts = [(part, None if living.all() else living) for part, living in parts]
    merged, expected = merge_postings(parts), postings_of([text for row, text in enumerate(texts) if alive[row]])
    for name in ("keys", "starts", "rows", "counts", "lengths"):
        assert getattr(merged, name).tolist() == getattr(expected, name).tolist()
        assert getattr(merged, name).dtype == getattr(expected, name).dtype


def postings_of(texts: list[str]) -> Postings:
    builder = PostingsBuilder()
    builder.add(texts)
    return builder.finish()
