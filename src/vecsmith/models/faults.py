"""The known ways to run a model wrongly, as hypotheses for `contract.parity.explain`, the likeliest first."""

import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding

from vecsmith.contract.parity import Hypothesis
from vecsmith.models.variants import Change, Inputs, Variants

__all__ = ["faults", "pairs_of_faults", "search_length"]

Float = NDArray[np.float32]
Fault = tuple[str, str, str, Change]  # kind, words, mend, change

LENGTHS = (16, 32, 64, 128, 200, 256, 300, 384, 500, 510, 512, 1024, 2048, 4096, 8192)
POOLINGS = {
    "cls": "takes the first token ([CLS])",
    "mean": "takes the mean of the tokens",
    "max": "takes the largest of the tokens, component by component",
    "lasttoken": "takes the last token",
    "mean_sqrt_len_tokens": "divides the sum of the tokens by the root of their number",
    "weightedmean": "takes a mean that weighs later tokens more",
    "sum": "takes the sum of the tokens",
}
PREFIX = "set the pooling to {}; in a sentence-transformers folder that is 1_Pooling/config.json"


def faults(variants: Variants, inputs: Inputs) -> list[Hypothesis]:
    """Every single fault that can be made with this model and would change these inputs."""
    found = [*_of_vectors(variants), *_of_texts(variants, inputs)]
    return [_hypothesis(variants, inputs, fault) for fault in found]


def pairs_of_faults(variants: Variants, inputs: Inputs) -> Iterator[Hypothesis]:
    """A fault of the vector side together with one of the text side."""
    if not variants.is_open:
        return
    likely = [
        *_prompts(variants, inputs),
        *_lengths(variants, inputs),
        ("tokenizer", *EDITS[0][1:3], Change(text=str.lower)),
    ]
    texts = [fault for fault in likely if not fault[3].pieces]
    for kind, words, mend, change in _of_vectors(variants):
        for _, more, how, other in texts:
            yield _hypothesis(variants, inputs, (kind, f"{words}; it also {more}", f"{mend}; {how}", change | other))


def search_length(variants: Variants, text: str, role: str | None, wanted: Float) -> tuple[int, float]:
    """The number of tokens after which a text must be cut to get a vector, and the cosine that is reached.

    wanted    float32 [d]
    Cosines rise and fall smoothly with the length, so a coarse grid is searched first, then the best places.
    """
    whole = min(variants.count(text, role), variants.most_tokens or 1 << 20)

    def cosine(length: int) -> float:
        vector = variants.vectors([(text, role)], Change(limit=length))[0].astype(np.float64)
        return float(vector @ wanted / (np.linalg.norm(vector) * np.linalg.norm(wanted) + 1e-30))

    step = max(1, whole // 40)
    known = {length: cosine(length) for length in range(3, whole + 1, step)}
    for centre in sorted(known, key=lambda length: -known[length])[:3]:
        for length in range(max(3, centre - step + 1), min(whole, centre + step - 1) + 1):
            if length not in known:
                known[length] = cosine(length)
    best = max(known, key=lambda length: known[length])
    return best, known[best]


def _hypothesis(variants: Variants, inputs: Inputs, fault: Fault) -> Hypothesis:
    kind, words, mend, change = fault
    return Hypothesis(kind, f"it {words}", mend, lambda: variants.vectors(inputs, change))


def _of_vectors(variants: Variants) -> Iterator[Fault]:
    """Pooling, Dense, Normalize in the middle, width."""
    if not variants.is_open:
        return
    own = "+".join(variants.modes)
    static = isinstance(variants.model[0], StaticEmbedding)
    for mode, words in POOLINGS.items():
        if (mode,) != variants.modes:
            instead = POOLINGS[variants.modes[0]].partition(" ")[2] if len(variants.modes) == 1 else own
            yield "pooling", f"{words} instead of {instead}", PREFIX.format(own), Change(pooling=mode)
    heads = [number for number, module in variants.modules() if isinstance(module, Dense)]
    for number, module in variants.modules():
        last = number == len(variants.model) - 1
        if isinstance(module, Normalize) and last:
            continue  # the comparison looks at lengths by itself
        name = type(module).__name__
        kind = "dense" if isinstance(module, Dense) else "modules"
        yield (
            kind,
            f"leaves out the {name} module {number}",
            f"load {number}_{name} too",
            Change(without=frozenset([number])),
        )
        if isinstance(module, Dense):
            yield (
                kind,
                f"leaves out the activation of the Dense module {number}",
                "apply its activation_function",
                Change(linear=frozenset([number])),
            )
    if len(heads) > 1:
        yield "dense", "leaves out all Dense modules", "load the Dense folders too", Change(without=frozenset(heads))
    full = variants.model.get_embedding_dimension() or 0
    for width in () if static and full < 16 else (1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32, 16):
        if width < full:
            yield "width", f"keeps the first {width} components", f"ask for all {full}", Change(width=width)


def _of_texts(variants: Variants, inputs: Inputs) -> Iterator[Fault]:
    """Prompts, lengths, tokenizer and what is done to texts; only what would change one of the inputs."""
    yield from _prompts(variants, inputs)
    yield from _lengths(variants, inputs)
    for kind, words, mend, edit in EDITS:
        if any(edit(text) != text for text, _ in inputs):
            yield kind, words, mend, Change(text=edit)
    if variants.is_open:
        yield from _tokenizers(variants)


def _prompts(variants: Variants, inputs: Inputs) -> Iterator[Fault]:
    own = variants.encoder.prompt_for
    query, document, default = own("query"), own("document"), own(None)
    rules: list[tuple[str, str, Callable[[str | None], str]]] = [
        ("does not add the prompt", "let the server add it, or put it before the text", lambda role: ""),
        ("adds the prompt a second time", "add it on one side only", lambda role: own(role) * 2),
        ("puts the query prompt before documents", "encode documents as documents",
         lambda role: query if role == "document" else own(role)),
        ("puts the query prompt before every input", "encode documents as documents", lambda role: query),
        ("puts the document prompt before queries", "encode queries as queries",
         lambda role: document if role == "query" else own(role)),
        ("puts the document prompt before every input", "encode queries as queries", lambda role: document),
        ("puts the default prompt before every input", "encode queries and documents as such", lambda role: default),
        ("swaps the prompts of queries and documents", "swap them back",
         lambda role: {"query": document, "document": query}.get(role or "", default)),
    ]  # fmt: skip
    for name, text in variants.model.prompts.items():
        if text:
            words = f'puts its prompt "{name}" before what it gets'
            rules.append((words, "add the prompt on one side only", partial(_before, text, own)))
    seen = {tuple(own(role) for _, role in inputs)}
    for words, mend, rule in rules:
        made = tuple(rule(role) for _, role in inputs)
        if made not in seen:
            seen.add(made)
            yield "prompt", words, mend, Change(prompt=rule)


def _before(text: str, own: Callable[[str | None], str], role: str | None) -> str:
    return text + own(role)


def _lengths(variants: Variants, inputs: Inputs) -> Iterator[Fault]:
    limit, most = variants.encoder.token_limit, variants.most_tokens
    longest = max((variants.count(text, role) for text, role in inputs), default=0)
    mend = f"set its longest input to {limit} tokens" if limit else "let it read whole inputs"
    if limit and longest > limit:
        if variants.is_open:
            end = "keeps the end of a long input instead of its beginning"
            yield "truncation", end, "truncate on the right", Change(keep_end=True)
            if most is None or most > limit:
                words = (
                    "does not cut long inputs" if longest <= (most or longest) else f"cuts inputs after {most} tokens"
                )
                yield "truncation", words, mend, Change(limit=0)
        yield "truncation", "reads a long input in pieces and takes their mean", mend, Change(pieces=True)
    if variants.is_open:
        for length in LENGTHS:
            if length != limit and length < min(longest, most or longest):
                yield "truncation", f"cuts inputs after {length} tokens", mend, Change(limit=length)


def _tokenizers(variants: Variants) -> Iterator[Fault]:
    own = json.loads(variants.tokenizer_json or "{}")
    mend = "use the tokenizer files of the model"
    if not isinstance(variants.model[0], StaticEmbedding):
        yield "tokenizer", "adds no special tokens ([CLS], [SEP] or the like)", mend, Change(special=False)
    for words, changed in _normalisers(own):
        yield "tokenizer", words, mend, Change(tokenizer=json.dumps(changed))


def _normalisers(own: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tokenizer with a step of its normaliser switched the other way."""
    normaliser = own.get("normalizer")
    if not normaliser:
        return
    parts = normaliser["normalizers"] if normaliser.get("type") == "Sequence" else [normaliser]
    for place, part in enumerate(parts):
        changes: Sequence[tuple[str, dict[str, Any] | None]] = [(f"skips the tokenizer's step {part['type']}", None)]
        if part["type"] == "BertNormalizer":
            lower = bool(part.get("lowercase"))
            strips = part.get("strip_accents")
            changes = [
                ("does not lower-case" if lower else "lower-cases", {**part, "lowercase": not lower}),
                ("keeps accents" if strips or (strips is None and lower) else "strips accents",
                 {**part, "strip_accents": not (strips or (strips is None and lower))}),
                ("does not part Chinese characters", {**part, "handle_chinese_chars": False}),
            ]  # fmt: skip
        elif part["type"] == "Lowercase":
            changes = [("does not lower-case", None)]
        for words, new in changes:
            kept = [*parts[:place], *([new] if new else []), *parts[place + 1 :]]
            yield words, {**own, "normalizer": {"type": "Sequence", "normalizers": kept} if kept else None}


def _plain(text: str) -> str:
    """Without accents."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))


OWN_TEXTS = "send texts as they are"
EDITS: list[tuple[str, str, str, Callable[[str], str]]] = [
    ("tokenizer", "lower-cases texts", OWN_TEXTS, str.lower),
    ("newlines", "replaces newlines by spaces", OWN_TEXTS, lambda text: text.replace("\n", " ")),
    ("tokenizer", "strips white space at both ends", OWN_TEXTS, str.strip),
    ("tokenizer", "joins runs of white space", OWN_TEXTS, lambda text: " ".join(text.split())),
    ("tokenizer", "composes accents (NFC)", OWN_TEXTS, lambda text: unicodedata.normalize("NFC", text)),
    ("tokenizer", "decomposes accents (NFD)", OWN_TEXTS, lambda text: unicodedata.normalize("NFD", text)),
    ("tokenizer", "unifies compatible signs (NFKC)", OWN_TEXTS, lambda text: unicodedata.normalize("NFKC", text)),
    ("tokenizer", "strips accents", OWN_TEXTS, _plain),
    ("tokenizer", "reads UTF-8 as Latin-1", "send and read UTF-8", lambda text: text.encode("utf-8").decode("latin-1")),
    ("tokenizer", "drops what is not ASCII", OWN_TEXTS, lambda text: text.encode("ascii", "ignore").decode("ascii")),
    ("tokenizer", "replaces what is not ASCII by question marks", OWN_TEXTS,
     lambda text: text.encode("ascii", "replace").decode("ascii")),
]  # fmt: skip
