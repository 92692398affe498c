"""Mining with answers planted under other names: how many of the negatives are answers, with and without margins.

Every query of the test side (words of a name) has its summary as the known positive. The pool holds all summaries and
all bodies: the query's own body answers it too, but nothing says so. Chosen are the 7 nearest of ranks 0 to 30.
"""

import numpy as np

from replications.bench.bed import Bed
from vecsmith.data.mining import MiningOptions, select_negatives
from vecsmith.topk import top_k

__all__ = ["planted_shares"]

RANKS, NEGATIVES, MARGIN = (0, 30), 7, 0.05


def planted_shares(bed: Bed) -> dict[str, float]:
    """Share of chosen negatives that are planted answers: by ranks alone, by a margin on the start model's own scores,
    and by a margin on a teacher's (the cosine of bodies)."""
    words, summaries, bodies = (bed.vectors[view][bed.test] for view in ("words", "summary", "body"))
    count = len(words)
    own = np.arange(count)[:, None]
    rows, scores = top_k(words, np.concatenate([summaries, bodies]), min(RANKS[1] + 1, 2 * count))
    taught = np.einsum("nd,nkd->nk", bodies, np.concatenate([bodies, bodies])[rows]).astype(np.float32)
    positives = np.einsum("nd,nd->n", words, summaries).astype(np.float32)
    certain = np.ones(count, dtype=np.float32)  # the own body is its own likeness
    plain = MiningOptions(negatives=NEGATIVES, ranks=RANKS, relative_margin=None)
    margin = MiningOptions(negatives=NEGATIVES, ranks=RANKS, relative_margin=MARGIN)
    shares = {}
    for name, options, read, best in (
        ("planted, by ranks alone", plain, scores, positives),
        ("planted, own margin", margin, scores, positives),
        ("planted, teacher's margin", margin, taught, certain),
    ):
        found = select_negatives(
            rows, read, is_known=rows == own, smallest_positive=best, largest_positive=best, options=options
        ).rows
        shares[name] = float((found == own + count).sum() / (found >= 0).sum())
    return shares
