"""BERT's tokenizer at several times its speed, with the same ids: each word is cut into pieces once.

A BERT tokenizer cuts a text at white space and punctuation before it looks at the vocabulary, so the pieces of a word
never depend on its neighbours. Words come back all the time; what they become is remembered. Words seen for the first
time go to the tokenizer itself, as does every stretch that is not plain ASCII, so there is no second set of rules for
what a vocabulary does with them.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from vecsmith.errors import Damaged

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["WordPieces", "ids_of", "word_pieces"]

BATCH_ROWS = 1_024  # texts cut at once
MOST_WORDS = 100_000  # words remembered, about 30 MB
LONGEST_WORD = 64  # characters of a word worth remembering
LONGEST_STRETCH = 1 << 16  # characters of a text held as words at once
PUNCTUATION = r"[!-/:-@\[-`{-~]"
ODD = re.compile(r"[^\t\n\r -~]")  # what is not printable ASCII or one of the spaces that BERT knows
SPACES = re.compile(r"[\t\n\r ]+")


def ids_of(tokenizer: "Tokenizer") -> Callable[[list[str]], list[list[int]]]:
    """The fastest exact way from texts to ids without special tokens.

    tokenizer    without padding and truncation; it is not changed
    raises       Damaged, when called: the tokenizer has no way to write a text, not even as unknown
    """
    pieces = word_pieces(tokenizer)
    if pieces is not None:
        return pieces.encode
    return lambda texts: _tokenized(tokenizer, texts)


def _tokenized(tokenizer: "Tokenizer", texts: list[str]) -> list[list[int]]:
    try:
        return [found.ids for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    except Exception as error:  # all that tokenizers raises
        raise Damaged(
            f"the tokenizer cannot cut texts ({error}); its tokenizer.json is broken: copy it again"
        ) from error


def word_pieces(tokenizer: "Tokenizer") -> "WordPieces | None":
    """The fast form of a tokenizer; None where it is not of BERT's kind, whose words can be cut apart.

    tokenizer    without padding and truncation; it is not changed
    """
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalizer = tokenizer.normalizer
    of_kind = (
        isinstance(tokenizer.model, WordPiece)
        and isinstance(normalizer, BertNormalizer)
        and normalizer.clean_text
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and tokenizer.truncation is None
        and tokenizer.padding is None
    )
    added = list(tokenizer.get_added_tokens_decoder().values())
    # A token that is matched after lower-casing could lie across words.
    if not of_kind or any(token.normalized for token in added):
        return None
    return WordPieces(tokenizer, [token.content for token in added], lowercase=normalizer.lowercase)


class WordPieces:
    """Texts to ids without special tokens, equal to `tokenizer.encode_batch(texts, add_special_tokens=False)`."""

    def __init__(self, tokenizer: "Tokenizer", added: list[str], *, lowercase: bool) -> None:
        self._tokenizer = tokenizer
        self._lowercase = lowercase
        self._word = re.compile(rf"[a-z0-9]+|{PUNCTUATION}" if lowercase else rf"[A-Za-z0-9]+|{PUNCTUATION}")
        self._added = re.compile("|".join(map(re.escape, added))) if added else None
        self._known: dict[str, list[int]] = {}

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Ids of each text."""
        found: list[list[int]] = []
        for at in range(0, len(texts), BATCH_ROWS):
            found += self._batch(texts[at : at + BATCH_ROWS])
        return found

    def _batch(self, texts: list[str]) -> list[list[int]]:
        ids: dict[int, list[int]] = {}
        words: dict[int, list[str]] = {}
        for row, text in enumerate(texts):
            if self._added is not None and self._added.search(text):
                ids[row] = _tokenized(self._tokenizer, [text])[0]
            elif len(text) > LONGEST_STRETCH:
                ids[row] = [token for stretch in _stretches(text) for token in self._ids([self._words(stretch)])[0]]
            else:
                words[row] = self._words(text)
        ids.update(zip(words, self._ids(list(words.values())), strict=True))
        return [ids[row] for row in range(len(texts))]

    def _ids(self, words: list[list[str]]) -> list[list[int]]:
        get = self._look_up(words).__getitem__
        return [list(chain.from_iterable(map(get, found))) for found in words]

    def _words(self, text: str) -> list[str]:
        find = self._word.findall
        if not ODD.search(text):
            return find(text.lower() if self._lowercase else text)
        words: list[str] = []
        for stretch in SPACES.split(text):
            if ODD.search(stretch):
                words.append(stretch)
            else:
                words += find(stretch.lower() if self._lowercase else stretch)
        return words

    def _look_up(self, words: list[list[str]]) -> dict[str, list[int]]:
        """Ids of every word of a batch."""
        if len(self._known) > MOST_WORDS:
            self._known = {}
        known = self._known
        unseen = list(set(chain.from_iterable(words)).difference(known))
        if not unseen:
            return known
        fresh = dict(zip(unseen, _tokenized(self._tokenizer, unseen), strict=True))
        known.update((word, ids) for word, ids in fresh.items() if len(word) <= LONGEST_WORD)
        return known if max(map(len, unseen)) <= LONGEST_WORD else {**known, **fresh}


def _stretches(text: str) -> Iterator[str]:
    """A text cut at spaces into stretches of about LONGEST_STRETCH characters; a longer word stays whole."""
    at = 0
    while at < len(text):
        space = SPACES.search(text, at + LONGEST_STRETCH)
        stop = space.end() if space else len(text)
        yield text[at:stop]
        at = stop
