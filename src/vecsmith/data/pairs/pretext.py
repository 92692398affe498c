"""Pairs from text alone: a sentence asks for the passage that it was cut from.

The inverse cloze task (Chang et al., ICLR 2020, arXiv 2002.03932, section 3; Lee et al., ACL 2019, keep the sentence
in one passage of ten). Kept in, it makes word matching win; so it is removed unless asked for.
"""

import xxhash

from vecsmith.data.pairs.pair import Pair, count_words, without
from vecsmith.data.passages import sentence_spans, squeeze

__all__ = ["sentence_pair"]

MOST_QUERY_CHARACTERS = 400


def sentence_pair(text: str, *, seed: int = 0, keep_probability: float = 0.0, fewest_words: int = 5) -> Pair | None:
    """One sentence of a passage, and the passage without it.

    text              a passage; its white space is squeezed
    seed              the choice is a function of (seed, text): copies of a passage lose the same sentence, so that a
                      copy on the other side of a split is still known for one
    keep_probability  share of passages that keep their sentence, 0..1
    fewest_words      of the sentence, and of what must be left
    returns           None where no sentence leaves enough behind
    """
    text = squeeze(text)
    choices: list[str] = []
    for start, end in sentence_spans(text):
        sentence = text[start:end]
        if end - start <= MOST_QUERY_CHARACTERS and count_words(sentence) >= fewest_words:
            choices.append(sentence)
    choices = list(dict.fromkeys(choices))
    draw = xxhash.xxh3_128_intdigest(text.encode("utf-8", "surrogatepass"), seed=seed % 2**64)
    keep = (draw >> 64) / 2**64 < keep_probability
    while choices:
        sentence = choices.pop(draw % len(choices))
        rest = without(text, sentence)
        if count_words(rest) >= fewest_words:
            return Pair(sentence, text if keep else rest, "sentence")
    return None
