"""From a draw of the sampler to the dict the Trainer takes: gathered, tokenised, every distinct input once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch.utils.data import DataLoader

from vecsmith.data.batch import Batch, gather_batch
from vecsmith.data.columns import RecordColumns
from vecsmith.data.in_context import InContext
from vecsmith.data.mixed import Part, gather_mixed
from vecsmith.data.sampler import Draw, EpochSampler, Source
from vecsmith.models.word_pieces import ids_of
from vecsmith.training.encoding import shard, world

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = ["Collator", "EpochLoader", "TrainingSet", "source_of"]


@dataclass(frozen=True)
class TrainingSet:
    """A dataset as training sees it: its records of one kind, and how they are trained with.

    in_batch         whether other rows' documents are candidates
    weight           how often its batches come, relative to its size
    distinct_groups  no two rows of a batch from one group
    teacher          float32 [inputs, dt], a teacher's vectors, or None
    taught           name of the teacher, before its vectors are there
    batch_size       rows of a global batch; None takes the stage's
    cap              records of an epoch at most
    bucketed         rows of a batch have equally many negatives, as stock losses need
    tokens           int64 [records], what each costs of a token budget, or None
    in_context       how examples are put in front of queries, or None
    """

    dataset: "Dataset"
    columns: RecordColumns
    in_batch: bool = True
    weight: float = 1.0
    distinct_groups: bool = False
    teacher: np.ndarray | None = None
    taught: str | None = None
    batch_size: int | None = None
    cap: int | None = None
    bucketed: bool = False
    tokens: np.ndarray | None = None
    in_context: InContext | None = None

    @property
    def lone(self) -> int:
        """Classes with one text, which is lent as a negative; stock losses take none."""
        return 0 if self.bucketed else len(self.columns.lone)


def source_of(training_set: TrainingSet) -> Source:
    """What the sampler needs of a training set."""
    columns, usable = training_set.columns, training_set.columns.usable
    grouped = training_set.distinct_groups and columns.groups is not None
    return Source(
        rows=usable,
        groups=columns.groups[usable] if grouped and columns.groups is not None else None,
        weight=training_set.weight,
        name=columns.name,
        batch_size=training_set.batch_size,
        cap=training_set.cap,
        buckets=np.diff(columns.negatives.offsets)[usable] if training_set.bucketed else None,
        tokens=None if training_set.tokens is None else training_set.tokens[usable],
        mixes=(
            columns.kind,
            training_set.in_batch,
            training_set.taught,
            training_set.bucketed,
            columns.name if training_set.in_context else None,  # examples come from one dataset: never mixed
        ),
    )


class Collator:
    """Callable: `Draw` -> dict with the fields of a `Batch`, features of this rank's share, and `record_rows`.

    sets      the training sets, in the order the sampler numbers them
    model     whose `preprocess` makes features
    prompts   {"query": ..., "document": ...}; an instruction of a record stands in its place
    cache     token ids kept over the run for static models, at most so many (8 bytes each); 0 keeps none
    """

    valid_label_columns: Sequence[str] = ()

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        model: SentenceTransformer,
        *,
        prompts: Mapping[str, str] | None = None,
        cache: int = 50_000_000,
    ) -> None:
        self.sets, self.model, self.prompts = sets, model, dict(prompts or {})
        self.tokens = [_TokenCache(model[0], cache) for _ in sets] if isinstance(model[0], StaticEmbedding) else None
        from vecsmith.training.examples import ExampleTexts

        asked = {number: each.in_context for number, each in enumerate(sets) if each.in_context is not None}
        self.examples = {number: ExampleTexts(sets[number], options, model) for number, options in asked.items()}

    def __call__(self, draw: Draw) -> dict[str, Any]:
        batch = self._mixed(draw) if draw.datasets is not None else self._single(draw)
        return {**batch.to_dict(), "record_rows": draw.rows}

    def _single(self, draw: Draw) -> Batch:
        training_set = self.sets[draw.dataset]
        return gather_batch(
            training_set.columns,
            draw.rows,
            in_batch=training_set.in_batch,
            dataset=draw.dataset,
            seed=draw.seed,
            teacher=training_set.teacher,
            encode=self._encoder(draw.dataset, draw.seed),
            lone=not training_set.bucketed,
        )

    def _mixed(self, draw: Draw) -> Batch:
        assert draw.datasets is not None
        parts = [
            Part(self.sets[number].columns, draw.rows[draw.datasets == number], number, self.sets[number].teacher)
            for number in np.unique(draw.datasets).tolist()
        ]
        first = self.sets[draw.dataset]
        return gather_mixed(
            parts, in_batch=first.in_batch, seed=draw.seed, encode=self._encode_mixed, lone=not first.bucketed
        )

    def _encoder(self, number: int, seed: int) -> Callable[[str, np.ndarray, list[str] | None], Mapping[str, Any]]:
        dataset = self.sets[number].dataset

        def encode(side: str, rows: np.ndarray, instructions: list[str] | None) -> Mapping[str, Any]:
            part = _own_share(len(rows))
            if number in self.examples:
                words = instructions[part] if instructions else None
                return self._preprocess(self.examples[number].texts(side, rows[part], seed, words), [""])
            opening = self._openings(side, instructions, part)
            if self.tokens and not any(opening):
                return self.tokens[number].features(rows[part], dataset)
            return self._preprocess(dataset.texts(rows[part]), opening)

        return encode

    def _encode_mixed(
        self, side: str, datasets: np.ndarray, rows: np.ndarray, instructions: list[str] | None
    ) -> Mapping[str, Any]:
        part = _own_share(len(rows))
        owners, inputs = datasets[part], rows[part]
        texts = np.empty(len(inputs), dtype=object)
        for number in np.unique(owners).tolist():
            own = owners == number
            texts[own] = self.sets[number].dataset.texts(inputs[own])
        return self._preprocess(texts.tolist(), self._openings(side, instructions, part))

    def _openings(self, side: str, instructions: list[str] | None, part: slice) -> list[str]:
        """What stands in front of each text of the share: all the same, given once, or one a text."""
        prompt = self.prompts.get(side) or ""
        words = [word or prompt for word in instructions[part]] if instructions else [prompt]
        return words if len(set(words)) > 1 else words[:1]

    def _preprocess(self, texts: list[str], opening: list[str]) -> Mapping[str, Any]:
        if len(opening) > 1:
            return self.model.preprocess([word + text for word, text in zip(opening, texts, strict=True)])
        return self.model.preprocess(texts, prompt=opening[0] or None)


def _own_share(count: int) -> slice:
    """The inputs that this rank encodes; an empty share encodes a stand-in, which is dropped after the gathering."""
    rank, ranks = world()
    part = shard(count, rank, ranks)
    return slice(0, 1) if part.start == part.stop else part


class _TokenCache:
    """Token ids of a static model, made once per input of a dataset and kept while there is room."""

    def __init__(self, module: StaticEmbedding, room: int) -> None:
        self.tokenize, self.room = ids_of(module.tokenizer), room
        self.ids: dict[int, np.ndarray] = {}

    def features(self, rows: np.ndarray, dataset: "Dataset") -> dict[str, torch.Tensor]:
        wanted = rows.tolist()
        new = [row for row in wanted if row not in self.ids]
        made: dict[int, np.ndarray] = {}
        if new:
            texts = dataset.texts(np.array(new, dtype=np.int64))
            made = {row: np.array(ids, dtype=np.int64) for row, ids in zip(new, self.tokenize(texts), strict=True)}
            for row, ids in made.items():
                if len(ids) > self.room:
                    break
                self.ids[row] = ids
                self.room -= len(ids)
        parts = [self.ids[row] if row in self.ids else made[row] for row in wanted]
        ends = np.cumsum([0, *map(len, parts[:-1])])
        flat = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        return {"input_ids": torch.from_numpy(flat), "offsets": torch.from_numpy(ends)}


class _Draws:
    """What the DataLoader takes for a dataset: the sampler's draws pass through whole."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> int:
        return index

    def __getitems__(self, draw: Draw) -> Draw:
        return draw


class EpochLoader(DataLoader):
    """A DataLoader over an `EpochSampler`; the Trainer sets its epoch and skips what a resumed run has seen."""

    def __init__(self, sampler: EpochSampler, collate: Collator, *, workers: int = 0) -> None:
        self.draws = sampler
        rows = sum(len(source.rows) for source in sampler.sources)
        super().__init__(
            _Draws(rows),  # type: ignore[arg-type]
            batch_sampler=sampler,  # type: ignore[arg-type]
            collate_fn=cast(Any, collate),
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own, so that iterating draws nothing from the model's
        )

    def set_epoch(self, epoch: int) -> None:
        self.draws.set_epoch(epoch)
