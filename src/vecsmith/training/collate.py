"""From a draw of the sampler to the dict the Trainer takes: gathered, tokenised, every distinct input once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch.utils.data import DataLoader

from vecsmith.data.batch import gather_batch
from vecsmith.data.columns import RecordColumns
from vecsmith.data.sampler import Draw, EpochSampler
from vecsmith.models.word_pieces import ids_of
from vecsmith.training.encoding import shard, world

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = ["Collator", "EpochLoader", "TrainingSet"]


@dataclass(frozen=True)
class TrainingSet:
    """A dataset as training sees it: its records of one kind, and how they are trained with.

    in_batch         whether other rows' documents are candidates
    weight           how often its batches come, relative to its size
    distinct_groups  no two rows of a batch from one group
    teacher          float32 [inputs, dt], a teacher's vectors, or None
    """

    dataset: "Dataset"
    columns: RecordColumns
    in_batch: bool = True
    weight: float = 1.0
    distinct_groups: bool = False
    teacher: np.ndarray | None = None


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

    def __call__(self, draw: Draw) -> dict[str, Any]:
        training_set = self.sets[draw.dataset]
        batch = gather_batch(
            training_set.columns,
            draw.rows,
            in_batch=training_set.in_batch,
            dataset=draw.dataset,
            seed=draw.seed,
            teacher=training_set.teacher,
            encode=self._encoder(draw.dataset),
        )
        return {**batch.to_dict(), "record_rows": draw.rows}

    def _encoder(self, number: int) -> Callable[[str, np.ndarray, list[str] | None], Mapping[str, Any]]:
        dataset = self.sets[number].dataset

        def encode(side: str, rows: np.ndarray, instructions: list[str] | None) -> Mapping[str, Any]:
            rank, ranks = world()
            part = shard(len(rows), rank, ranks)
            if part.start == part.stop:
                part = slice(0, 1)  # an empty share encodes a stand-in, which is dropped after the gathering
            prompt = self.prompts.get(side) or ""
            opening = [word or prompt for word in instructions[part]] if instructions else None
            if self.tokens and not prompt and not (opening and any(opening)):
                return self.tokens[number].features(rows[part], dataset)
            texts = dataset.texts(rows[part])
            if opening and len(set(opening)) > 1:
                return self.model.preprocess([word + text for word, text in zip(opening, texts, strict=True)])
            return self.model.preprocess(texts, prompt=(opening[0] if opening else prompt) or None)

        return encode


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
