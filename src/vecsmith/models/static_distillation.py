"""Where a static model starts: a teacher's vector of each word piece, fewer dimensions, common pieces made short.

    texts -> counts of the teacher's word pieces -> a vocabulary -> its pieces through the teacher
          -> principal components -> weights by frequency -> StaticEmbedding, Normalize

The start of model2vec (Tulkens and van Dongen, 2024), with weights a / (a + p) (Arora et al., ICLR 2017) on counted
frequencies p instead of guessed ones, and a vocabulary cut to what the texts use. Training comes after it.
"""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import NotEnoughData, UsageError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

__all__ = [
    "choose_vocabulary",
    "count_pieces",
    "cut_tokenizer",
    "piece_names",
    "piece_vectors",
    "start_weights",
    "static_start",
    "word_piece_tokenizer",
]

Float = NDArray[np.float32]

KEPT_SPECIAL = ("[PAD]", "[UNK]")  # padding has a number in every reader; the unknown piece is trained like any other
BATCH = 10_000  # texts tokenised at once


def static_start(
    teacher: "SentenceTransformer",
    texts: Iterable[str],
    *,
    vocabulary: int = 28_000,
    dimension: int = 128,
    smoothing: float = 1e-3,
) -> "SentenceTransformer":
    """A static model with the teacher's word pieces, to be trained on.

    teacher     a transformer with a WordPiece tokenizer
    texts       what it will be trained on: their counts choose the vocabulary and weigh it
    vocabulary  pieces kept, at most; the table takes 4 * vocabulary * dimension bytes
    dimension   width of a vector, at most the teacher's
    smoothing   a of the weight a / (a + p): pieces more frequent than it are damped
    returns     StaticEmbedding -> Normalize, float32
    raises      UsageError: another tokenizer; NotEnoughData: fewer different pieces than dimensions
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    full = word_piece_tokenizer(teacher)
    counts = count_pieces(full, texts)
    kept = choose_vocabulary(piece_names(full), counts, size=vocabulary)
    vectors = piece_vectors(teacher, kept)
    weights = start_weights(vectors, counts[kept], dimension=dimension, smoothing=smoothing)
    embedding = StaticEmbedding(cut_tokenizer(full, kept), embedding_weights=weights)
    return SentenceTransformer(modules=[embedding, Normalize()], device="cpu")


def choose_vocabulary(names: Sequence[str], counts: NDArray[np.int64], *, size: int) -> NDArray[np.int64]:
    """Numbers of the pieces to keep, ascending: int64 [at most size].

    names    a tokenizer's pieces in the order of their numbers; "##x" continues a word
    counts   int64 [len(names)], how often each stands in the texts
    size     how many to keep

    Every single ASCII character is kept, so that any ASCII word can be spelled; then the most frequent, of equal ones
    the lower number. Never kept: unused places, letters of other scripts than Latin and Greek. [ours]
    """
    if len(names) != len(counts):
        raise ValueError(f"{len(names)} pieces and {len(counts)} counts; give one count for each piece")
    rank = np.array([_rank(name) for name in names])
    # Three ranks, counts within: a stable sort on (rank, count), largest first.
    order = np.lexsort((np.arange(len(names)), -np.asarray(counts), -rank))
    chosen = [int(place) for place in order[:size] if rank[place] > 0]
    return np.array(sorted(chosen), dtype=np.int64)


def count_pieces(tokenizer: "Tokenizer", texts: Iterable[str]) -> NDArray[np.int64]:
    """How often each piece stands in the texts: int64 [pieces of the tokenizer]."""
    counts = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    waiting: list[str] = []

    def add() -> None:
        numbers = [each.ids for each in tokenizer.encode_batch_fast(waiting, add_special_tokens=False)]
        counts[:] += np.bincount(
            np.concatenate([np.zeros(0, int), *map(np.array, numbers)]).astype(int), minlength=len(counts)
        )
        waiting.clear()

    for text in texts:
        waiting.append(text)
        if len(waiting) == BATCH:
            add()
    add()
    return counts


def cut_tokenizer(tokenizer: "Tokenizer", kept: Sequence[int] | NDArray[np.int64]) -> "Tokenizer":
    """The tokenizer with these pieces only, numbered from 0; no special pieces are added, nothing is cut or padded.

    A word whose piece is gone is spelled by shorter ones; what no piece spells is [UNK].
    raises   UsageError: no WordPiece tokenizer
    """
    from tokenizers import Tokenizer

    parts = json.loads(tokenizer.to_str())
    if parts["model"].get("type", "WordPiece") != "WordPiece":
        raise UsageError(f"the tokenizer is {parts['model']['type']}; a vocabulary is cut from WordPiece only")
    names = piece_names(tokenizer)
    numbers = {names[int(old)]: new for new, old in enumerate(kept)}
    parts["model"]["vocab"] = numbers
    parts["added_tokens"] = [
        {**each, "id": numbers[each["content"]]} for each in parts["added_tokens"] if each["content"] in numbers
    ]
    parts |= {"truncation": None, "padding": None, "post_processor": None}
    return Tokenizer.from_str(json.dumps(parts))


def piece_vectors(
    teacher: "SentenceTransformer", pieces: Sequence[int] | NDArray[np.int64], *, batch: int = 2_048
) -> Float:
    """The teacher's last hidden state at each piece, alone between [CLS] and [SEP]: float32 [n, width]."""
    import torch

    tokenizer = teacher.tokenizer
    network: Any = teacher[0].model
    numbers = torch.as_tensor(np.asarray(pieces, dtype=np.int64))
    found = []
    with torch.inference_mode():
        for part in numbers.split(batch):
            around = [
                torch.full_like(part, tokenizer.cls_token_id),
                part,
                torch.full_like(part, tokenizer.sep_token_id),
            ]
            inputs = torch.stack(around, dim=1).to(teacher.device)
            states = network(input_ids=inputs, attention_mask=torch.ones_like(inputs)).last_hidden_state
            found.append(states[:, 1].float().cpu().numpy())
    return np.concatenate(found)


def start_weights(vectors: Float, counts: NDArray[np.int64], *, dimension: int, smoothing: float = 1e-3) -> Float:
    """Principal components of the pieces' vectors, each row weighted by a / (a + p): float32 [n, dimension].

    vectors    float [n, width]; counts   int64 [n]; pieces that never occur are no part of mean and components
    dimension  at most the width
    smoothing  a; p is a piece's share of all counts

    >>> start_weights(np.eye(3, dtype=np.float32), np.array([8, 1, 1]), dimension=1, smoothing=0.2).shape
    (3, 1)
    """
    if not 1 <= dimension <= vectors.shape[1]:
        raise ValueError(f"dimension is {dimension}; vectors of width {vectors.shape[1]} allow 1 to {vectors.shape[1]}")
    seen = np.asarray(counts) > 0
    if seen.sum() < dimension:
        raise NotEnoughData(f"{seen.sum()} different pieces cannot give {dimension} dimensions; pass more text")
    centred = vectors.astype(np.float64) - vectors[seen].mean(axis=0, dtype=np.float64)
    _, basis = np.linalg.eigh(centred[seen].T @ centred[seen])  # columns, weakest first
    components = centred @ basis[:, ::-1][:, :dimension]
    share = np.asarray(counts) / np.sum(counts)
    return (components * (smoothing / (smoothing + share))[:, None]).astype(np.float32)


def word_piece_tokenizer(teacher: "SentenceTransformer") -> "Tokenizer":
    """A copy of the teacher's fast tokenizer, neither cutting nor padding."""
    from tokenizers import Tokenizer

    fast = getattr(teacher.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise UsageError("the teacher has no fast tokenizer; a static model needs one")
    copy = Tokenizer.from_str(fast.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def piece_names(tokenizer: "Tokenizer") -> list[str]:
    numbers = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def _rank(name: str) -> int:
    """2: always kept, 1: kept by frequency, 0: never."""
    import unicodedata

    if name in KEPT_SPECIAL:
        return 2
    if name in ("[CLS]", "[SEP]", "[MASK]") or name.startswith("[unused"):
        return 0
    bare = name.removeprefix("##")
    if bare.isascii():
        return 2 if len(bare) == 1 else 1
    scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in bare if letter.isalpha()}
    return int(scripts <= {"LATIN", "GREEK"})
