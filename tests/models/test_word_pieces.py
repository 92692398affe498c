"""The fast BERT tokenizer gives the ids of the tokenizer it stands for, whatever the text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from vecsmith.errors import Damaged
from vecsmith.models import word_pieces as module
from vecsmith.models.names import resolve_name
from vecsmith.models.word_pieces import word_pieces

VOCABULARY = ["[PAD]", "[UNK]", "[SEP]", "the", "a", "##a", "##b", "b", "c", "##c", "é", "東", "京", ".", "-", "[", "]"]
VOCABULARY += ["A", "B", "##A", "sep", "s", "##e", "##p", "1", "##1", "e"]
PIECES = st.sampled_from(
    [*"aAbBcC1éÉ東京 \t\n\r.-[]\x00\x0b\x7f\u0301\u2028\u00a0\ufeff\u200bßİσΣ", "[SEP]", "[sep]", "[PAD]"]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=40)


def tokenizer_of(*, lowercase=True, strip_accents=None):
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[SEP]"])
    return tokenizer


def slow(tokenizer, texts):
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [None, True, False])
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, max_size=6))
def test_ids_are_those_of_the_tokenizer(texts, lowercase, strip_accents):
    texts = [text for text in texts if text.isprintable() or text.encode("utf-8", "ignore").decode() == text]
    tokenizer = tokenizer_of(lowercase=lowercase, strip_accents=strip_accents)
    pieces = word_pieces(tokenizer)
    assert pieces.encode(texts) == slow(tokenizer, texts)
    assert pieces.encode(texts) == slow(tokenizer, texts), "remembered words give the same"


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_long_texts_and_a_full_memory_change_nothing(texts):
    tokenizer = tokenizer_of()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_STRETCH", 5)
        patch.setattr(module, "MOST_WORDS", 3)
        patch.setattr(module, "LONGEST_WORD", 2)
        patch.setattr(module, "BATCH_ROWS", 2)
        assert word_pieces(tokenizer).encode(texts) == slow(tokenizer, texts)


def test_the_shipped_vocabulary_gives_the_same_ids_for_prose_and_code():
    tokenizer = Tokenizer.from_file(str(resolve_name("default") / "tokenizer.json"))
    texts = [
        module.__doc__,
        "def f(x):\n\treturn x ** 2  # naïve, 1,000 €",
        "",
        "[UNK] stays whole",
        "x" * 300,
        "東京 est là",
    ]
    assert word_pieces(tokenizer).encode(texts) == slow(tokenizer, texts)


def test_a_word_without_end_is_one_unknown_word():
    tokenizer = tokenizer_of()
    text = "a" * 200_000 + " a"
    assert word_pieces(tokenizer).encode([text]) == [[1, VOCABULARY.index("a")]]


@pytest.mark.parametrize("change", ["model", "normalizer", "splitter", "added", "truncation", "padding"])
def test_other_tokenizers_are_left_to_themselves(change):
    tokenizer = tokenizer_of()
    if change == "model":
        tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    elif change == "normalizer":
        tokenizer.normalizer = normalizers.Lowercase()
    elif change == "splitter":
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    elif change == "added":
        tokenizer.add_tokens(["new york"])
    elif change == "truncation":
        tokenizer.enable_truncation(8)
    else:
        tokenizer.enable_padding()
    assert word_pieces(tokenizer) is None


def test_a_tokenizer_without_its_unknown_token_is_damaged():
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    with pytest.raises(Damaged, match="cannot cut texts"):
        module.ids_of(tokenizer)(["b"])
