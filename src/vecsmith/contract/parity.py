"""Does another program give the vectors of this model, and if not, why? Pure functions on arrays.

The cause is found by trying: each hypothesis is a changed pipeline of our own model ("first token instead of the
mean", "without the prompt"), and the one whose vectors the target gives is named, with what is left over.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.probes import PROBES, TOLERANCES

__all__ = ["Cause", "Hypothesis", "ParityReport", "ProbeRow", "compare_vectors", "explain", "verdict_of"]

Float = NDArray[np.float32]

SAME, DIRECTION, DIFFERENT = "same", "same direction, other length", "different"
CLEARLY = 4.0  # a hypothesis must leave this many times less than "nothing is wrong" to be believed
FORMS = ("space", "upper", "padded", "numbers", "code", "accents", "decomposed", "cjk", "right_to_left", "emoji")


@dataclass(frozen=True)
class Hypothesis:
    """A way in which the target may differ.

    kind      pooling | prompt | normalisation | truncation | dense | width | tokenizer | newlines
    words     what the target does, as one sentence without a full stop
    mend      what to do about it
    vectors   our model's vectors of the same inputs under that change: () -> float32 [n, any width]
    """

    kind: str
    words: str
    mend: str
    vectors: Callable[[], Float]


@dataclass(frozen=True)
class Cause:
    """What explains a difference.

    kind       a hypothesis' kind, or weights | precision | model
    residual   largest difference that is left under it, relative to the longer of 1 and the vector's length; None where
               it is a judgement by exclusion
    probes     where the difference shows
    """

    kind: str
    words: str
    mend: str
    residual: float | None = None
    probes: tuple[str, ...] = ()

    @property
    def is_sure(self) -> bool:
        """Whether our model under this cause gives the target's vectors."""
        return self.residual is not None


@dataclass(frozen=True)
class ProbeRow:
    """One input: cosine (None for vectors of unlike width), largest difference of a component, both lengths."""

    name: str
    cosine: float | None
    difference: float | None
    length: float
    target_length: float | None
    refused: str = ""


@dataclass(frozen=True)
class ParityReport:
    """What `parity` found; `str()` is a table of 80 columns.

    verdict     "same", "same direction, other length" or "different"
    tolerance   largest difference, relative to the longer of 1 and the vector's length, that counts as the same
    worst       the largest there is, over all inputs; None for vectors of unlike width
    """

    model: str
    target: str
    verdict: str
    rows: tuple[ProbeRow, ...]
    tolerance: float
    worst: float | None
    widths: tuple[int, int]
    cause: Cause | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def same(self) -> bool:
        return self.verdict == SAME

    def to_dict(self) -> dict[str, Any]:
        """Plain values with the names used here."""
        return {
            "model": self.model,
            "target": self.target,
            "verdict": self.verdict,
            "cause": None if self.cause is None else {**vars(self.cause), "probes": list(self.cause.probes)},
            "tolerance": self.tolerance,
            "worst": self.worst,
            "width": self.widths[0],
            "target_width": self.widths[1],
            "probes": [dict(vars(row)) for row in self.rows],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        from vecsmith.contract.parity_table import table

        return table(self)


def compare_vectors(
    ours: Float, theirs: Float, names: Sequence[str], refused: Mapping[int, str] | None = None
) -> list[ProbeRow]:
    """A row per input.

    ours      float32 [n, d]
    theirs    float32 [n, e], finite; rows of refused inputs are ignored
    refused   row -> why the target gave no vector
    """
    refused = refused or {}
    lengths, target_lengths = np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)
    rows = []
    for row, name in enumerate(names):
        if row in refused:
            rows.append(ProbeRow(name, None, None, float(lengths[row]), None, refused[row]))
        elif ours.shape[1] != theirs.shape[1]:
            rows.append(ProbeRow(name, None, None, float(lengths[row]), float(target_lengths[row])))
        else:
            cosine = _cosine(ours[row], theirs[row])
            difference = float(np.abs(ours[row] - theirs[row]).max(initial=0.0))
            rows.append(ProbeRow(name, cosine, difference, float(lengths[row]), float(target_lengths[row])))
    return rows


def verdict_of(ours: Float, theirs: Float, tolerance: float) -> tuple[str, float | None]:
    """The verdict over all rows, and the largest relative difference (None for unlike widths)."""
    if ours.shape != theirs.shape:
        return DIFFERENT, None
    worst = _worst(ours, theirs)
    if worst <= tolerance:
        return SAME, worst
    return (DIRECTION if _worst(_unit(ours), _unit(theirs)) <= tolerance else DIFFERENT), worst


def explain(
    ours: Float,
    theirs: Float,
    names: Sequence[str],
    hypotheses: Iterable[Hypothesis],
    *,
    tolerance: float,
    combined: Iterable[Hypothesis] = (),
) -> Cause:
    """Why vectors differ.

    ours, theirs   float32 [n, d] and [n, e] of the same inputs
    hypotheses     single changes, the likeliest first: of those that explain alike, the first is named
    tolerance      of the target's number type
    combined       two changes at once; tried only where no single one explains

    Where the target's direction is right under a hypothesis and its length is not, that is said too. A small rest is
    put down to the number type. What no hypothesis explains is told by which probes agree.
    """
    levels = sorted({tolerance, *TOLERANCES.values()})
    nothing = Hypothesis("precision", "", "", lambda: ours)
    singles = list(hypotheses)

    def is_whole(fit: _Fit | None) -> bool:
        """Another number type shows everywhere; where most inputs agree to the last digit, something else is left."""
        if fit is None or fit.residual > max(tolerance, TOLERANCES["bfloat16"]):
            return False
        return fit.residual <= tolerance or 2 * fit.agreeing(tolerance) < len(names)

    found = _best(nothing, theirs, singles)
    agreeing = len(names) - len(_differing(ours, theirs, names, tolerance))
    if not is_whole(found) and 2 * agreeing < len(names):
        found = _best(nothing, theirs, combined, found)
    if found is not None and is_whole(found):
        return _named(found, ours, theirs, names, tolerance)
    covered = _cover(ours, theirs, names, singles, levels)
    return covered or _by_exclusion(ours, theirs, names, tolerance)


@dataclass(frozen=True)
class _Fit:
    """A hypothesis and how well it fits; `length` says how the lengths must be changed on top of it."""

    hypothesis: Hypothesis
    differences: NDArray[np.float64]
    length: str = ""

    @property
    def residual(self) -> float:
        return float(self.differences.max(initial=0.0))

    def agreeing(self, tolerance: float) -> int:
        return int((self.differences <= tolerance).sum())


def _best(
    nothing: Hypothesis, theirs: Float, hypotheses: Iterable[Hypothesis], start: "_Fit | None" = None
) -> "_Fit | None":
    """The best fit; a later hypothesis must be clearly better than an earlier one, most of all than "nothing"."""
    best = start or _fit(nothing, theirs)
    for hypothesis in hypotheses:
        fit = _fit(hypothesis, theirs)
        if fit is None:
            continue
        simpler = best is not None and best.hypothesis is nothing and not best.length
        if best is None or fit.residual * (CLEARLY if simpler else 2.0) < best.residual:
            best = fit
            if best.residual <= TOLERANCES["float32"]:
                break
    return best


def _fit(hypothesis: Hypothesis, theirs: Float) -> _Fit | None:
    """How a hypothesis fits as it is, or with its length changed where that is clearly better."""
    vectors = np.asarray(hypothesis.vectors(), dtype=np.float32)
    if vectors.shape != theirs.shape:
        return None
    as_is = _differences(vectors, theirs)
    turned = _differences(_unit(vectors), _unit(theirs))
    if turned.max(initial=0.0) * CLEARLY >= as_is.max(initial=0.0):
        return _Fit(hypothesis, as_is)
    return _Fit(hypothesis, turned, "extra" if _all_unit(theirs) else "missing" if _all_unit(vectors) else "other")


def _named(fit: _Fit, ours: Float, theirs: Float, names: Sequence[str], tolerance: float) -> Cause:
    """A fit in words."""
    hypothesis, residual = fit.hypothesis, fit.residual
    words, mends = [hypothesis.words], [hypothesis.mend]
    kind = hypothesis.kind
    if fit.length:
        length_words, length_mend = _LENGTHS[fit.length]
        words.append(length_words)
        mends.append(length_mend)
        kind = kind if hypothesis.words else "normalisation"
    if residual > tolerance:
        number = next(name for name, limit in sorted(TOLERANCES.items(), key=lambda e: e[1]) if residual <= limit)
        alone = not hypothesis.words and not fit.length
        words.append(
            f"differences of {residual:.1g} {'everywhere' if alone else 'are left'}, the size that {number} makes"
        )
        mends.append(f"compute in float32, or take it as it is: --dtype {number}" if alone else "")
    shown = _differing(ours, theirs, names, tolerance)
    mend = "; ".join(part for part in mends if part)
    return Cause(kind, "; ".join(part for part in words if part), mend, residual, tuple(shown))


_LENGTHS = {
    "extra": ("it normalises vectors to length 1, the model does not", 'switch it off there (TEI: "normalize": false)'),
    "missing": ("it does not normalise, and the model's vectors have length 1", "normalise its vectors to length 1"),
    "other": ("its vectors have other lengths", "score by cosine, or scale them"),
}  # fmt: skip


def _cover(
    ours: Float, theirs: Float, names: Sequence[str], hypotheses: Sequence[Hypothesis], levels: Sequence[float]
) -> Cause | None:
    """Several causes, each on its own inputs: the fewest hypotheses that explain all rows between them."""
    fits = []
    for hypothesis in hypotheses:
        vectors = np.asarray(hypothesis.vectors(), dtype=np.float32)
        if vectors.shape == theirs.shape:
            fits.append((hypothesis, _differences(vectors, theirs)))
    if ours.shape != theirs.shape or not fits:
        return None
    plain = _differences(ours, theirs)
    for level in (level for level in levels if level <= TOLERANCES["bfloat16"]):
        rest = plain > level
        chosen: list[tuple[Hypothesis, list[int], float]] = []
        while rest.any():
            hypothesis, differences = max(fits, key=lambda fit: int((fit[1][rest] <= level).sum()))
            hit = rest & (differences <= level)
            if not hit.any() or len(chosen) == 4:
                break
            chosen.append((hypothesis, np.flatnonzero(hit).tolist(), float(differences[hit].max())))
            rest &= ~hit
        if not rest.any() and chosen:
            words = [f"{h.words} (seen on {_listed([names[row] for row in rows])})" for h, rows, _ in chosen]
            shown = tuple(names[row] for _, rows, _ in chosen for row in rows)
            mend = "; ".join(hypothesis.mend for hypothesis, *_ in chosen)
            return Cause(chosen[0][0].kind, "; ".join(words), mend, max(left for *_, left in chosen), shown)
    return None


def _by_exclusion(ours: Float, theirs: Float, names: Sequence[str], tolerance: float) -> Cause:
    """What is left where no change of our pipeline gives the target's vectors."""
    if ours.shape != theirs.shape:
        words = (
            f"vectors of {theirs.shape[1]} components where the model has {ours.shape[1]}; no step of it has that width"
        )
        return Cause("model", f"another model: {words}", "check which model the target serves", None, tuple(names))
    shown = _differing(ours, theirs, names, tolerance)
    roles = {name for name, _, role in PROBES if role}
    cosines = [_cosine(a, b) for a, b, name in zip(ours, theirs, names, strict=True) if name in shown]
    nearness = f"cosine {min(cosines):.3f} to {max(cosines):.3f} where they differ"
    if set(shown) <= {"long"}:
        return Cause("truncation", f"long inputs are cut elsewhere, or read in pieces ({nearness})",
                     "set its longest input to the model's", None, tuple(shown))  # fmt: skip
    if set(shown) <= roles:
        return Cause("prompt", f"another prompt than the model's is put before inputs ({nearness})",
                     "compare the prompts of both sides", None, tuple(shown))  # fmt: skip
    if set(shown) <= {*FORMS, "empty", "long"} and not {"word", "sentence"} & set(shown):
        return Cause("tokenizer", f"another tokenizer, or its normaliser: plain English agrees, {_listed(shown)} "
                     f"{'does' if len(shown) == 1 else 'do'} not ({nearness})",
                     "use the tokenizer files of the model", None, tuple(shown))  # fmt: skip
    if len(shown) == len(names) and _worst(_unit(ours), _unit(theirs)) <= TOLERANCES["int8"]:
        words = f"a coarse number type such as int8, or slightly other weights ({nearness})"
        return Cause("precision", words, "compare with --dtype int8 if that is meant", None, tuple(shown))
    if float(np.mean(cosines)) >= 0.5:
        words = f"other weights: another checkpoint, or a fine-tuned copy of the model ({nearness})"
        return Cause("weights", words, "compare the weights' hashes", None, tuple(shown))
    words = f"another model entirely ({nearness})"
    return Cause("model", words, "check which model the target serves", None, tuple(shown))


def _differing(ours: Float, theirs: Float, names: Sequence[str], tolerance: float) -> list[str]:
    if ours.shape != theirs.shape:
        return list(names)
    differences = _differences(ours, theirs)
    return [name for name, difference in zip(names, differences, strict=True) if difference > tolerance]


def _differences(first: Float, second: Float) -> NDArray[np.float64]:
    """Largest difference of each row, relative to the longer of 1 and the first's length: float64 [n]."""
    lengths = np.maximum(1.0, np.linalg.norm(first.astype(np.float64), axis=1))
    return np.abs(first.astype(np.float64) - second).max(axis=1, initial=0.0) / lengths


def _worst(first: Float, second: Float) -> float:
    return float(_differences(first, second).max(initial=0.0))


def _unit(vectors: Float) -> Float:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Float = (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    return found


def _all_unit(vectors: Float) -> bool:
    """Whether every row has length 1; rows of zeros, which an empty text may give, do not count."""
    lengths = np.linalg.norm(vectors, axis=1)
    return bool((np.abs(lengths[lengths > 1e-6] - 1) < 1e-2).all())


def _cosine(first: Float, second: Float) -> float:
    """1 for two rows of zeros, 0 where only one is."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return float(not a.any() and not b.any())
    return float(np.clip(a @ b / lengths, -1, 1))


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
