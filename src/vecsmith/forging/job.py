"""What was asked of forge, checked at the door: source, start models, labels, time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecsmith.data.source import Source, open_source
from vecsmith.errors import UsageError
from vecsmith.forging.benches import Labels, read_labels
from vecsmith.forging.fitting import slug_of
from vecsmith.models.encoder import Encoder, open_encoder
from vecsmith.progress import Progress

__all__ = ["Job", "open_job"]


@dataclass(frozen=True)
class Job:
    """Everything that stays the same from the first step to the last.

    models      slug -> name or path of a start model; the slug names its folders and arms
    encoders    slug -> the start model
    options     columns and group, as given; limit
    labels      the user's judgements, or None
    """

    source: Source
    models: dict[str, str]
    encoders: dict[str, Encoder]
    options: dict[str, Any]
    labels: Labels | None
    minutes: float
    seed: int
    progress: Progress

    def reading(self) -> list[Any]:
        """What the read step hangs on besides the source's manifest: a passage must fit the shortest model."""
        return [self.options, self.seed, sorted(encoder.max_length for encoder in self.encoders.values())]

    def asked(self) -> dict[str, Any]:
        """What the plan hangs on besides what was read."""
        return {
            "models": {slug: encoder.contract.fingerprint for slug, encoder in self.encoders.items()},
            "minutes": self.minutes,
            "seed": self.seed,
            "labels": self.labels,
        }

    def judgements(self) -> int | None:
        """How many judgements the labels hold."""
        return None if self.labels is None else sum(map(len, self.labels.values()))


def open_job(
    source: str | Path,
    *,
    columns: dict[str, Any],
    labels: str | Path | None,
    models: Sequence[str],
    minutes: float,
    limit: int | None,
    seed: int,
    progress: Progress,
) -> Job:
    """Open the start models and the source; nothing of the source is read yet.

    raises   UsageError: time that is not above 0, a model twice; what models and sources refuse
    """
    if not minutes > 0:
        raise UsageError(f"minutes is {minutes}; it must be above 0")
    named = _named(models)
    encoders = {slug: open_encoder(model) for slug, model in named.items()}
    shortest = min(encoders.values(), key=lambda encoder: encoder.max_length)
    opened = open_source(
        source,
        **columns,
        max_tokens=shortest.max_length,
        count_tokens=shortest.count_tokens,
        limit=limit,
        seed=seed,
    )
    read = read_labels(Path(labels)) if labels is not None else None
    options = {**columns, "limit": limit}
    return Job(opened, named, encoders, options, read, minutes, seed, progress)


def _named(models: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for model in map(str, models):
        if model in named.values():
            raise UsageError(f'the model "{model}" is given twice')
        slug, turn = slug_of(model), 2
        while slug in named:
            slug, turn = f"{slug_of(model)}-{turn}", turn + 1
        named[slug] = model
    if not named:
        raise UsageError("no start model; name at least one, or leave --model out for the default")
    return named
