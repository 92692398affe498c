"""From a stage's objectives per kind of record, and what wraps them, to one function (queries, documents, batch)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from math import cos, pi
from sys import modules
from typing import Any

from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.errors import RecipeError
from vecsmith.objectives.loss import Loss
from vecsmith.training.resolve import resolve

__all__ = ["StageObjective", "is_schedule", "scheduled"]


def is_schedule(value: object) -> bool:
    """Whether an option is a schedule: {from, to, shape, over}."""
    return isinstance(value, Mapping) and {"from", "to"} <= set(value) <= {"from", "to", "shape", "over"}


def scheduled(value: Any, progress: float) -> Any:
    """The option at a share 0..1 of the run, each of a list; what is no schedule is itself.

    shape   linear (default), cosine, or step (jumps at the end of `over`); over   [start, end], default [0, 1]
    Worked by hand: from 0 to 4, linear over [0, 0.5], at 0.25: 2.0.
    """
    if isinstance(value, list):
        return [scheduled(each, progress) for each in value]
    if not is_schedule(value):
        return value
    start, end = value.get("over", (0.0, 1.0))
    share = min(max((progress - start) / (end - start), 0.0), 1.0) if end > start else float(progress >= end)
    shape = value.get("shape", "linear")
    if shape == "cosine":
        share = (1 - cos(pi * share)) / 2
    elif shape == "step":
        share = float(share >= 1)
    elif shape != "linear":
        raise RecipeError(f'shape "{shape}" of a schedule; known: linear, cosine, step')
    return value["from"] + (value["to"] - value["from"]) * share


Entry = Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True)
class _Term:
    name: str
    function: Callable[..., Loss]
    options: Mapping[str, Any]
    weight: float = 1.0


class StageObjective:
    """The objectives of a stage, by kind; several for one kind are a sum, which the wrappers wrap.

    by_kind   {kind: [{name: options}]}; `weight` scales an objective that has no option of this name
    wrap      [{name: options}], the outermost first
    views     (seed, number of layers) -> shallow layers, where a wrapper wants the vectors after fewer layers; then the
              vectors are stacks [V, U, d], and a call also takes the layers of the views. None where none does
    raises    RecipeError: a name that no module of `objectives` declares, or a wrapper of views that is not outermost
    """

    def __init__(self, by_kind: Mapping[str, Sequence[Entry]], wrap: Sequence[Entry] = ()) -> None:
        self.terms = {kind: [self._term(entry) for entry in entries] for kind, entries in by_kind.items()}
        self.wrappers = [self._term(entry) for entry in wrap]
        drawn = [_views_of(wrapper) for wrapper in self.wrappers]
        for wrapper, views in list(zip(self.wrappers, drawn, strict=True))[1:]:
            if views is not None:
                raise RecipeError(f"{wrapper.name} draws layers, so it must stand first in wrap, and only once")
        self.views = drawn[0] if drawn else None

    @staticmethod
    def _term(entry: Entry) -> _Term:
        ((name, given),) = entry.items()
        function, options = resolve("objectives", name), dict(given or {})
        own = "weight" in signature(function).parameters
        return _Term(name, function, options, 1.0 if own else options.pop("weight", 1.0))

    def __call__(self, queries: Tensor, documents: Tensor, batch: Batch, *layers: tuple[int, ...]) -> Loss:
        objective: Callable[..., Loss] = self._sum
        for wrapper in reversed(self.wrappers):
            objective = partial(wrapper.function, objective, **_now(wrapper.options, batch))
        return objective(queries, documents, batch, *layers)

    def _sum(self, queries: Tensor, documents: Tensor, batch: Batch) -> Loss:
        terms = self.terms.get(batch.kind)
        if not terms:
            raise RecipeError(
                f'no objective for records of kind "{batch.kind}"; this stage has {", ".join(self.terms)}'
            )
        value, parts = None, {}
        for term in terms:
            loss = term.function(queries, documents, batch, **_now(term.options, batch))
            weight = scheduled(term.weight, batch.progress)
            value = loss.value * weight if value is None else value + loss.value * weight
            prefix = f"{term.name}/" if len(terms) > 1 else ""
            parts.update({f"{prefix}{key}": number for key, number in loss.parts.items()})
        assert value is not None
        return Loss(value, parts)


def _now(options: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
    return {name: scheduled(option, batch.progress) for name, option in options.items()}


def _views_of(wrapper: _Term) -> Callable[[int, int], tuple[int, ...]] | None:
    """What the wrapper's module declares in VIEWS for it: which layers it wants to see."""
    return getattr(modules[wrapper.function.__module__], "VIEWS", {}).get(wrapper.name)
