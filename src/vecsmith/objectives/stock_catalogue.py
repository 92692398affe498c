"""Which losses of sentence-transformers can be computed from vectors alone, what each needs, and why others cannot.

Read from sentence-transformers 6.2. A loss runs here when it has a function of embeddings, no parameters of its own,
and asks for nothing that a `Batch` has not.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from typing import Any, Literal

from vecsmith.errors import RecipeError

__all__ = ["Stock", "check_stock_loss", "made_loss", "stock_needs", "stock_of", "wants_buckets"]


@dataclass(frozen=True)
class Stock:
    """What a loss takes of a row, or of the batch.

    negatives   of a row's negatives: all, one or none; `required` refuses rows without
    labels      what its labels are made of: grades (`scores`), binary (`scores` of 0 and 1), rewards
                (`teacher_scores`), classes, vectors (of a teacher), or None
    compares    it takes other rows' texts as negatives: only where the data allow in-batch negatives
    functions   options that are functions, by the names a recipe may give them
    """

    negatives: Literal["all", "one", "none"] = "none"
    labels: Literal["grades", "binary", "rewards", "classes", "vectors"] | None = None
    compares: bool = False
    required: bool = False
    functions: str | None = None


RUN = {
    "AnglELoss": Stock(labels="grades"),
    "BatchAllTripletLoss": Stock(labels="classes", functions="batch"),
    "BatchHardSoftMarginTripletLoss": Stock(labels="classes", functions="batch"),
    "BatchHardTripletLoss": Stock(labels="classes", functions="batch"),
    "BatchSemiHardTripletLoss": Stock(labels="classes", functions="batch"),
    "CoSENTLoss": Stock(labels="grades", functions="pairwise"),
    "ContrastiveLoss": Stock(labels="binary", functions="siamese"),
    "CosineSimilarityLoss": Stock(labels="grades"),
    "DistillKLDivLoss": Stock(negatives="all", labels="rewards", required=True, functions="pairwise"),
    "EmbedDistillLoss": Stock(negatives="all", labels="vectors"),
    "GlobalOrthogonalRegularizationLoss": Stock(negatives="all", functions="matrix"),
    "MSELoss": Stock(negatives="all", labels="vectors"),
    "MarginMSELoss": Stock(negatives="all", labels="rewards", required=True, functions="pairwise"),
    "MegaBatchMarginLoss": Stock(compares=True),
    "MultipleNegativesRankingLoss": Stock(negatives="all", compares=True, functions="matrix"),
    "MultipleNegativesSymmetricRankingLoss": Stock(negatives="all", compares=True, functions="matrix"),
    "OnlineContrastiveLoss": Stock(labels="binary", functions="siamese"),
    "TripletLoss": Stock(negatives="one", required=True, functions="triplet"),
}
_CACHED = 'every objective can cache its gradients: name "{0}" and give the stage "cache: 32"'
_LAYERS = "it reads the model's layers or widths itself; name the loss as objective and wrap the stage: {0}"
REFUSED = {
    "AdaptiveLayerLoss": _LAYERS.format('"wrap: [matryoshka_2d]"'),
    "CachedGISTEmbedLoss": 'it calls a guide model; use "info_nce: {guide: true}", "teacher" at the data and "cache"',
    "CachedMultipleNegativesRankingLoss": _CACHED.format("MultipleNegativesRankingLoss"),
    "CachedMultipleNegativesSymmetricRankingLoss": _CACHED.format("MultipleNegativesSymmetricRankingLoss"),
    "ContrastiveTensionLoss": "it trains a second copy of the model; train with it in sentence-transformers itself",
    "ContrastiveTensionLossInBatchNegatives": "it trains a second copy of the model and a scale of its own; "
    "train with it in sentence-transformers itself",
    "DenoisingAutoEncoderLoss": "it trains a decoder of its own; train with it in sentence-transformers itself",
    "GISTEmbedLoss": 'it calls a guide model; use "info_nce: {guide: true}" and "teacher" at the data',
    "Matryoshka2dLoss": _LAYERS.format('"wrap: [matryoshka_2d]"'),
    "MatryoshkaLoss": _LAYERS.format('"wrap: [matryoshka]"'),
    "SoftmaxLoss": 'it has a classifier of its own that no model would hold; for class data use "info_nce", '
    "which masks the own class, or BatchHardTripletLoss",
}
_FIXED = {
    "gather_across_devices": "every rank sees the whole batch already",
    "projection_dim": "it would have parameters of its own; give the student the teacher's width (model.modules)",
    "loss_fct": "it is a function, which a recipe cannot hold",
    "cos_score_transformation": "it is a function, which a recipe cannot hold",
    "use_mini_batched_version": 'gradients are cached by the stage: "cache: 32"',
    "mini_batch_size": 'gradients are cached by the stage: "cache: 32"',
    "mini_batch_num_tokens": 'gradients are cached by the stage: "cache: 32"',
    "show_progress_bar": "training shows its own",
}


def stock_of(name: str) -> Stock:
    """What is known of a loss. RecipeError: it cannot run here, with the reason and the way out; or there is none."""
    if name in RUN:
        return RUN[name]
    if name in REFUSED:
        raise RecipeError(f"stock_loss cannot run {name}: {REFUSED[name]}")
    near = difflib.get_close_matches(name, [*RUN, *REFUSED], n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    raise RecipeError(f'"{name}" is no loss that stock_loss can run{hint} (known: {", ".join(RUN)})')


def check_stock_loss(name: str, options: Mapping[str, Any] | None = None, *, in_batch: bool = True) -> None:
    """Refuse before training what could not run: the loss, an option, or data that allow no in-batch negatives.

    raises   RecipeError, without file and line: the caller knows them
    """
    stock = stock_of(name)
    made_loss(name, options)
    if stock.compares and not in_batch:
        raise RecipeError(
            f'{name} takes other rows\' texts as negatives, and the data say "in_batch: false"; '
            'use "info_nce", which heeds it, or TripletLoss'
        )


def stock_needs(name: str) -> tuple[str, ...]:
    """What the data must have, in the words of NEEDS. RecipeError as `stock_of`."""
    stock = stock_of(name)
    if stock.labels in ("classes", "vectors"):
        return ("label",) if stock.labels == "classes" else ("teacher",)
    scores = {"grades": ("scores",), "binary": ("scores",), "rewards": ("teacher_scores",), None: ()}[stock.labels]
    return ("positives", *(("negatives",) if stock.required else ()), *scores)


def wants_buckets(entries: Sequence[Mapping[str, Mapping[str, Any] | None]]) -> bool:
    """Whether a list of objectives takes negatives as columns: a batch then wants rows with equally many of them."""
    named = [
        (options or {}).get("name") for entry in entries for name, options in entry.items() if name == "stock_loss"
    ]
    return any(RUN[str(name)].negatives == "all" for name in named if name in RUN)


def made_loss(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """The loss with its options, without a model; the same options give the same object.

    raises   RecipeError: an option it has not, one that means nothing here, or a value it refuses
    """
    try:
        return _made(name, json.dumps(dict(options or {}), sort_keys=True))
    except (TypeError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{name} refuses its options: {error}") from error


@lru_cache(maxsize=64)
def _made(name: str, options: str) -> Any:
    from sentence_transformers.sentence_transformer import losses

    stock, given, kind = stock_of(name), json.loads(options), getattr(losses, name)
    known = [each for each in signature(kind.__init__).parameters if each not in ("self", "model", *_FIXED)]
    for option in given:
        if option in _FIXED:
            raise RecipeError(f"{option} of {name} has no meaning here: {_FIXED[option]}")
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise RecipeError(f'unknown option "{option}" of {name}{hint} (known: {", ".join(known)})')
    for option in ("similarity_fct", "distance_metric"):
        if option in given and stock.functions:
            functions = _functions(stock.functions)
            if given[option] not in functions:
                raise RecipeError(f'{option} of {name} is "{given[option]}" (known: {", ".join(functions)})')
            given[option] = functions[given[option]]
    if name == "MegaBatchMarginLoss":
        given["use_mini_batched_version"] = False
    return kind(None, **given)


def _functions(family: str) -> dict[str, Any]:
    """Similarities and distances by the names a recipe gives them."""
    from sentence_transformers import util
    from sentence_transformers.sentence_transformer import losses

    batch, siamese = losses.BatchHardTripletLossDistanceFunction, losses.SiameseDistanceMetric
    triplet = losses.TripletDistanceMetric
    families: dict[str, dict[str, Any]] = {
        "matrix": {"cosine": util.cos_sim, "dot": util.dot_score},
        "pairwise": {
            "cosine": util.pairwise_cos_sim,
            "dot": util.pairwise_dot_score,
            "euclidean": util.pairwise_euclidean_sim,
            "manhattan": util.pairwise_manhattan_sim,
        },
        "batch": {"cosine": batch.cosine_distance, "euclidean": batch.euclidean_distance},
        "siamese": {
            "cosine": siamese.COSINE_DISTANCE,
            "euclidean": siamese.EUCLIDEAN,
            "manhattan": siamese.MANHATTAN,
        },
        "triplet": {"cosine": triplet.COSINE, "euclidean": triplet.EUCLIDEAN, "manhattan": triplet.MANHATTAN},
    }
    return families[family]
