"""Any objective on shorter vectors, fewer layers, and both: Matryoshka, 2-D Matryoshka, Espresso.

Matryoshka: Kusupati et al., NeurIPS 2022 (arXiv 2205.13147). 2-D Matryoshka: Li et al., arXiv 2402.14776, versions 1
and 3, and AnglE, the code of its authors, in its first and its revised form [seen]. Espresso: version 2 of that paper,
as in the code [seen]. [ours]: draws hang on the batch's seed, so that ranks and chunks agree; the divergence is taken
of vectors as they are before any Normalize module (of unit vectors it is all but 0, and so it does nothing for such
models in sentence-transformers).

A wrapper cuts vectors, and the objective normalises what is left: every width is a usable vector of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import log

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, mse_loss, softmax

from vecsmith.data.batch import Batch
from vecsmith.errors import UsageError
from vecsmith.objectives.draws import uniform
from vecsmith.objectives.loss import Loss

__all__ = ["espresso", "matryoshka", "matryoshka_2d"]

Objective = Callable[[Tensor, Tensor, Batch], Loss]

LAYER_DRAW, WIDTH_DRAW = 5021, 5022  # salts
COMPRESS_SEED = 0


def matryoshka(
    objective: Objective,
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    *,
    widths: Sequence[int],
    weights: Sequence[float] | None = None,
) -> Loss:
    """sum over widths k of weight * objective(first k components); not divided by the number of widths.

    objective   (queries [U, k], documents [U, k], batch) -> Loss, which normalises itself
    queries     float [V, U, d] or [U, d], before any Normalize module; only view 0, the whole model, is read
    documents   the same
    widths      1..d each, different; list d too where whole vectors shall stay good
    weights     one per width; all 1 where None, as in the paper
    returns     the sum; parts of the widest as they are, those of the others under "width_K/", and "width_K/loss"
    raises      UsageError: no widths, one above d or below 1, one twice, or another number of weights

    Worked by hand: an objective that is the sum of all components, on ones of width 4, widths [4, 2]: 4 + 2 = 6.
    """
    queries, documents = _view(queries, 0), _view(documents, 0)
    given = list(weights) if weights is not None else [1.0] * len(widths)
    _check_widths(widths, queries.shape[-1])
    if len(given) != len(widths):
        raise UsageError(f"matryoshka has {len(widths)} widths and {len(given)} weights; give one weight per width")
    value, parts = queries.new_zeros(()), dict[str, float]()
    # The widest first: an objective that keeps a moving average takes it from whole vectors.
    for width, weight in sorted(zip(widths, given, strict=True), reverse=True):
        loss = objective(queries[:, :width], documents[:, :width], batch)
        value = value + weight * loss.value
        parts.update(_named(loss, "" if width == max(widths) else f"width_{width}/"))
    return Loss(value, parts)


def matryoshka_2d(
    objective: Objective,
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    layers: Sequence[int],
    *,
    widths: Sequence[int] | None = None,
    kl: float = 1.0,
    kl_temperature: float = 1.0,
    detach_teacher: bool = True,
    revised: bool = False,
) -> Loss:
    """l(X_N) + l(X_N[:k]) + l(X_n) + l(X_n[:k]) + kl * T^2 * KL(softmax(X_N / T) || softmax(X_n / T)), over features.

    objective        (queries [U, k], documents [U, k], batch) -> Loss
    queries          float [V, U, d], before any Normalize module: view 0 after all N layers, view i after layers[i]
    documents        the same
    layers           the layer of each view, N first; `shallow_layer` draws one n ~ U{1..N-1} a step, never the
                     embedding output (sentence-transformers draws that too)
    widths           what k is drawn from, once a step; None: 8, 16, 32, ... below d, as published
    kl               weight of the divergence, 0 leaves it out; the mean over the distinct texts of both sides
    kl_temperature   T > 0: 1.0 in AnglE [seen], 0.3 in sentence-transformers [seen]
    detach_teacher   whether X_N passes no gradient of the divergence: sentence-transformers yes, AnglE no [seen]
    revised          AnglE's second form [seen]: losses of layer n are divided by n, and T^2 becomes T log(2 + n)
    returns          the sum; parts of the whole model's as they are, others under "narrow/", "shallow/" and
                     "shallow_narrow/", and `kl` (unweighted), `layer`, `width`
    raises           UsageError: another number of layers than views, no width below d, a temperature not above 0

    Worked by hand: an objective that is the sum of all components, ones of width 4 in two views, widths [2], kl 1:
    4 + 2 + 4 + 2 + 0 = 12.
    """
    _check_views(queries, documents, layers, kl_temperature)
    d = queries.shape[-1]
    choice = _geometric(d) if widths is None else list(widths)
    _check_widths(choice, d)
    width = choice[int(uniform(batch.seed, salt=WIDTH_DRAW) * len(choice))]
    value, parts = queries.new_zeros(()), {"width": float(width)}
    for place, layer in enumerate(layers):
        both = _both_widths(objective, queries, documents, batch, place, width)
        value = value + both.value * (1.0 / layer if revised and place else 1.0)
        parts.update(both.parts)
        if place:
            parts["layer"] = float(layer)
        if place and kl:
            teacher, student = _texts(queries, documents, 0, detach_teacher), _texts(queries, documents, place)
            found = feature_divergence(teacher, student, kl_temperature)
            factor = kl_temperature * log(2 + layer) if revised else kl_temperature**2
            value, parts["kl"] = value + kl * factor * found, float(found.detach())
    return Loss(value, parts)


def espresso(
    objective: Objective,
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    layers: Sequence[int],
    *,
    width: int = 128,
    compress: float = 1.0,
    kl: float = 1.0,
    kl_temperature: float = 1.0,
    detach_teacher: bool = True,
) -> Loss:
    """Every layer at once, deep ones lighter, each taught to hold its principal components in its first `width`.

        l(X_N) + l(X_N[:k]) + 1/(N-1) sum over n = 1..N-1 of (l(X_n) + l(X_n[:k]) + compress * c(X_n) + kl * D) / w(n)
        w(n) = 1 + log(n);  c(X) = MSE(X[:k], A(X)) + T KL(softmax(A(X) / T) || softmax(X[:k] / T))
        A(X) = X U S of the first k of svd_lowrank(softmax(X^T X / sqrt(d)));  D as in `matryoshka_2d`, with T^2

    queries, documents, layers   as for `matryoshka_2d`; all shallow layers are views
    width        k, fixed: 128 as published [seen]; at most d
    compress     weight of c, 0 leaves it out; its target passes no gradient
    kl, kl_temperature, detach_teacher   of the divergence from the last layer
    returns      the sum; parts as for `matryoshka_2d`, shallow ones of the deepest shallow layer, and `compress`
    raises       UsageError, as `matryoshka_2d`

    [seen] weights 1/(1 + log(1 + i)), i = 0..N-2, the sum divided by N-1, width 128, the target and its two terms;
    [ours] i = n - 1, so that the embedding output is left out as in `matryoshka_2d`; [mem?] the last layer's own two
    terms are neither weighted nor divided, and no target is made for it.
    """
    _check_views(queries, documents, layers, kl_temperature)
    _check_widths([width], queries.shape[-1])
    whole = _both_widths(objective, queries, documents, batch, 0, width)
    shallow, parts = queries.new_zeros(()), dict(whole.parts)
    for place, layer in list(enumerate(layers))[1:]:
        both, texts = (
            _both_widths(objective, queries, documents, batch, place, width),
            _texts(queries, documents, place),
        )
        term = both.value
        parts.update(both.parts)
        if compress:
            found = compression(texts, width, kl_temperature)
            term, parts["compress"] = term + compress * found, float(found.detach())
        if kl:
            found = feature_divergence(_texts(queries, documents, 0, detach_teacher), texts, kl_temperature)
            term, parts["kl"] = term + kl * kl_temperature**2 * found, float(found.detach())
        shallow = shallow + term / (1 + log(layer))
    return Loss(whole.value + shallow / max(len(layers) - 1, 1), parts)


def shallow_layer(seed: int, depth: int) -> tuple[int, ...]:
    """One layer of 1..depth-1, each as likely; the same for the same seed.

    raises   UsageError: a model of fewer than 2 layers

    >>> shallow_layer(3, 2)
    (1,)
    """
    return (1 + int(uniform(seed, salt=LAYER_DRAW) * (_deep_enough(depth) - 1)),)


def all_layers(seed: int, depth: int) -> tuple[int, ...]:
    """All shallow layers, whatever the seed.

    >>> all_layers(3, 4)
    (1, 2, 3)
    """
    return tuple(range(1, _deep_enough(depth)))


VIEWS = {"matryoshka_2d": shallow_layer, "espresso": all_layers}


def feature_divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)) over the components, the mean over rows; not times T^2.

    teacher, student   float [n, d], as they are before any Normalize module

    Worked by hand: teacher (log 3, 0), student (0, 0), T 1: 3/4 log(3/4 / 1/2) + 1/4 log(1/4 / 1/2) = 0.1308.

    >>> round(float(feature_divergence(torch.tensor([[log(3), 0.0]]), torch.zeros(1, 2), 1.0)), 4)
    0.1308
    """
    return kl_div(
        log_softmax(student / temperature, dim=1), softmax(teacher / temperature, dim=1), reduction="batchmean"
    )


def compression(vectors: Tensor, width: int, temperature: float) -> Tensor:
    """MSE and T KL of the first `width` components against `compressed` ones, which pass no gradient.

    vectors   float [n, d], before any Normalize module
    """
    short, target = vectors[:, :width], compressed(vectors.detach(), width)
    return mse_loss(short, target) + temperature * feature_divergence(target, short, temperature)


def compressed(vectors: Tensor, width: int) -> Tensor:
    """X U S of the strongest `width` directions of softmax(X^T X / sqrt(d)), whose rows add to 1: float [n, width].

    Directions come from torch.svd_lowrank with a fixed seed of its own: no draw of the model's is used up. Their signs
    are arbitrary, as in the published code.
    """
    gram = softmax(vectors.T @ vectors / vectors.shape[1] ** 0.5, dim=1)
    with _seeded(vectors.device):
        left, strength, _ = torch.svd_lowrank(gram, q=width)
    return vectors @ left * strength


@contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.autocast(device.type, enabled=False):
        torch.manual_seed(COMPRESS_SEED)
        yield


def _both_widths(
    objective: Objective, queries: Tensor, documents: Tensor, batch: Batch, place: int, width: int
) -> Loss:
    """l(X) + l(X[:width]) of one view; the whole model's parts keep their names."""
    queries, documents = _view(queries, place), _view(documents, place)
    whole = objective(queries, documents, batch)
    narrow = objective(queries[:, :width], documents[:, :width], batch)
    names = ("shallow/", "shallow_narrow/") if place else ("", "narrow/")
    return Loss(whole.value + narrow.value, {**_named(whole, names[0]), **_named(narrow, names[1])})


def _view(vectors: Tensor, place: int) -> Tensor:
    """View `place` of a stack [V, U, d]; vectors [U, d] are their own only view."""
    return vectors[place] if vectors.dim() == 3 else vectors


def _texts(queries: Tensor, documents: Tensor, place: int, detach: bool = False) -> Tensor:
    """The distinct texts of both sides in a view, at least float32: [Uq + Ud, d]."""
    both = torch.cat([_view(queries, place), _view(documents, place)])
    both = both if both.dtype == torch.float64 else both.float()
    return both.detach() if detach else both


def _named(loss: Loss, prefix: str) -> dict[str, float]:
    if not prefix:
        return loss.parts
    parts = {f"{prefix}{key}": number for key, number in loss.parts.items()}
    return {**parts, f"{prefix}loss": float(loss.value.detach())}


def _geometric(d: int) -> list[int]:
    """8, 16, 32, ... below d."""
    return [8 << turn for turn in range(d.bit_length()) if 8 << turn < d]


def _check_widths(widths: Sequence[int], d: int) -> None:
    if not widths:
        raise UsageError(f"no widths for vectors of width {d}; give some of 1 to {d}, e.g. widths: [{max(d // 2, 1)}]")
    for place, width in enumerate(widths):
        if not 1 <= width <= d:
            raise UsageError(f"width {width} is none of vectors of width {d}; widths go from 1 to {d}")
        if width in list(widths)[:place]:
            raise UsageError(f"width {width} stands twice in widths")


def _check_views(queries: Tensor, documents: Tensor, layers: Sequence[int], temperature: float) -> None:
    for side in (queries, documents):
        views = side.shape[0] if side.dim() == 3 else 1
        if views != len(layers):
            raise UsageError(f"{views} views and {len(layers)} layers; each view has its layer, the whole model first")
    if not temperature > 0:
        raise UsageError(f"kl_temperature is {temperature}; it divides components and must be above 0")


def _deep_enough(depth: int) -> int:
    if depth < 2:
        raise UsageError(f"a model of {depth} layer has no shallower one; take the 1-D matryoshka")
    return depth
