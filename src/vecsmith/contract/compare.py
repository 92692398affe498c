"""May vectors of one contract be used where another is expected?"""

from dataclasses import dataclass
from typing import Any

from vecsmith.contract.contract import Contract
from vecsmith.errors import SpaceMismatch

__all__ = ["Convertible", "Different", "FieldDifference", "Same", "compare", "require_same"]


@dataclass(frozen=True)
class FieldDifference:
    """One field with both values."""

    field: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return f"{self.field}: {_short(self.first)} against {_short(self.second)}"


@dataclass(frozen=True)
class Same:
    """Vectors may be mixed as they are."""


@dataclass(frozen=True)
class Convertible:
    """Vectors of the first become vectors of the second by these steps, in this order."""

    steps: tuple[str, ...]


@dataclass(frozen=True)
class Different:
    """Vectors must never be mixed; every differing field with both values."""

    fields: tuple[FieldDifference, ...]


def compare(first: Contract, second: Contract) -> Same | Convertible | Different:
    """What it takes to use vectors of `first` where vectors of `second` are expected.

    Space fields must be equal. View fields are converted where the vectors hold enough: a wider vector can be cut,
    one of any length normalised, a finer dtype rounded, plain numbers quantised; never the other way. Codes of other
    ranges are never mixed.
    """
    spaces = sorted({*first.space, *second.space})
    fields = [
        FieldDifference(name, first.space.get(name), second.space.get(name))
        for name in spaces
        if first.space.get(name) != second.space.get(name)
    ]
    steps, blocked = _view_steps(first.view, second.view)
    if fields or blocked:
        return Different((*fields, *blocked))
    return Convertible(tuple(steps)) if steps else Same()


def require_same(
    held: Contract,
    offered: Contract,
    *,
    where: str,
    way_out: str | None = None,
    convertible: bool = False,
) -> Same | Convertible:
    """Refuse to mix vectors of two contracts.

    held         contract of what `where` names, e.g. an index
    offered      contract of the model at hand
    way_out      last line of the message; by default how to re-embed
    convertible  also accept what `compare(offered, held)` can convert; the caller then applies the steps
    raises       SpaceMismatch listing every differing field with both values
    """
    verdict = compare(offered, held)
    if isinstance(verdict, Same) or (convertible and isinstance(verdict, Convertible)):
        return verdict
    if isinstance(verdict, Convertible):
        steps = "; ".join(verdict.steps)
        raise SpaceMismatch(
            f"{where} holds another view of the same space ({held.fingerprint}, {held.describe()}); vectors of this "
            f"model ({offered.describe()}) become usable by: {steps}",
            fields=[name for name in held.view if held.view.get(name) != offered.view.get(name)],
        )
    lines = [f"  {d.field}: {_short(d.second)} there, {_short(d.first)} in this model" for d in verdict.fields]
    names = [d.field for d in verdict.fields]
    raise SpaceMismatch(
        f"{where} holds space {held.fingerprint} ({held.describe()}); this model is space {offered.fingerprint} "
        f"({offered.describe()}): {_listed(names)} {'differs' if len(names) == 1 else 'differ'}.\n"
        + "\n".join(lines)
        + "\n"
        + (way_out or _default_way_out(held)),
        fields=names,
    )


def _default_way_out(held: Contract) -> str:
    return (
        f"Use the model it was made by ({held.name}, {held.fingerprint}), or re-embed its texts with this model into "
        "a new index: vecsmith index create NEW --model MODEL"
    )


def _view_steps(first: dict[str, Any], second: dict[str, Any]) -> tuple[list[str], list[FieldDifference]]:
    """Steps from one view to another, and the fields that no step can change."""
    steps: list[str] = []
    blocked: list[FieldDifference] = []

    def differ(name: str) -> bool:
        return first.get(name) != second.get(name)

    def block(name: str) -> None:
        blocked.append(FieldDifference(name, first.get(name), second.get(name)))

    if differ("width"):
        if first["width"] > second["width"]:
            steps.append(f"cut to the first {second['width']} components")
        else:
            block("width")
    if first.get("normalised") and not second.get("normalised"):
        block("normalised")
    elif second.get("normalised") and (steps or not first.get("normalised")):
        steps.append("normalise to unit length")
    if differ("dtype"):
        finer = {"float32": 3, "bfloat16": 2, "float16": 2, "int8": 1}
        if finer.get(first.get("dtype", ""), 0) > finer.get(second.get("dtype", ""), 9):
            steps.append(f"round to {second.get('dtype')}")
        else:
            block("dtype")
    codes, wanted = _codes(first), _codes(second)
    if codes != wanted and codes is None:
        steps.append(f"quantise to {second['quantiser']['precision']} by the stored ranges")
    elif codes != wanted:
        block("quantiser")
    # A prompt that is None stands for "either": a model can still use both.
    if differ("prompt") and first.get("prompt") is not None and second.get("prompt") is not None:
        block("prompt")
    unit = first.get("normalised") and second.get("normalised")
    if differ("similarity") and not (unit and {first.get("similarity"), second.get("similarity")} <= {"cosine", "dot"}):
        steps.append(f"score by {second.get('similarity')}")
    return steps, blocked


def _codes(view: dict[str, Any]) -> dict[str, Any] | None:
    """How vectors are stored as codes; None for plain numbers, whatever ranges the contract keeps for later."""
    held = view.get("quantiser")
    if not held or not held.get("precision"):
        return None
    ranges = held.get("ranges") or {}
    return {
        "precision": held["precision"],
        "ranges": {width: entry["float32_le_base64"] for width, entry in ranges.items()},
    }


def _short(value: Any) -> str:
    text = value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
