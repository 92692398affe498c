"""The part of a recipe that names data: which records, in what kind, and what is made of them before training."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

__all__ = ["DataSpec", "Kind", "MineSpec", "ScoreSpec"]

Kind = Literal["retrieval", "pair", "scored", "class", "plain"]
Transform = Literal["retrieval", "scored", "class", "triplets"]


class MineSpec(BaseModel, extra="forbid"):
    """Hard negatives found before training; see `models.mining.mine_dataset`. Ranks count from the nearest.

    model             of `vs.load`; its scores become the set's teacher_scores
    rescore           a cross-encoder's folder, whose scores take their place
    relative_margin   NV-Retriever's 5 % where absent; null: off
    """

    model: str = "default"
    rescore: str | None = None
    negatives: int = Field(default=7, gt=0)
    ranks: tuple[int, int] = (10, 100)
    relative_margin: float | None = Field(default=0.05, ge=0)
    absolute_margin: float | None = Field(default=None, ge=0)
    adaptive_margin: float | None = Field(default=None, ge=0)
    max_score: float | None = None
    min_score: float | None = None
    positive: Literal["smallest", "largest"] = "smallest"
    consistent_rank: int | None = Field(default=None, gt=0)
    choose: Literal["hardest", "random"] = "hardest"
    seed: int = 0


class ScoreSpec(BaseModel, extra="forbid"):
    """A teacher that scores every candidate of a set before training; see `models.scorers.score_dataset`.

    teacher   a model of `vs.load` (embedder), a folder (cross-encoder), "smol" or a folder (likelihood)
    how       normalisation per list
    answers   likelihood only: "positives" (where absent) or "labels"
    """

    teacher: str
    kind: Literal["cross-encoder", "embedder", "likelihood"]
    how: Literal["none", "minmax", "standard", "softmax", "rank"] | None = None
    answers: Literal["positives", "labels"] | None = None
    template: str | None = None
    key_tokens: int | None = Field(default=None, gt=0)
    context: int | None = Field(default=None, gt=0)
    token_budget: int | None = Field(default=None, gt=0)
    device: str | None = None
    dtype: str | None = None


class DataSpec(BaseModel, extra="forbid"):
    """A set to train on. `path`: a file or folder, a bare name under the data root, or `docstrings:stdlib`.

    weight      how often an epoch goes through it
    in_batch    whether other rows' documents are candidates
    batch_size  rows of a global batch of this set; the stage's where absent. With `batch_tokens` the most rows
    cap         records that an epoch takes of it at most, others in every epoch
    teacher     a model whose vectors of every text the objective reads as `batch.queries.teacher`
    in_context  examples that are put in front of queries: {task: ..., count: 5, ...}, `data.in_context.InContext`;
                `prompts` stand aside for this set
    transform   records become this kind: `data.pairs.transform`, with `labels` and `score_range` of `columns`
    mine        a model that finds hard negatives before training: {model: ..., negatives: ...}; they take the place of
                given ones
    score       a teacher that scores the candidates before training, mined ones too: {teacher: ..., kind: ...}
    """

    path: str
    name: str | None = None
    format: str | None = None
    split: str | None = None
    kind: Kind | None = None
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    in_batch: bool = True
    distinct_groups: bool = False
    batch_size: int | None = Field(default=None, gt=0)
    cap: int | None = Field(default=None, gt=1)
    teacher: str | None = None
    in_context: dict[str, Any] | None = None
    transform: Transform | None = None
    mine: MineSpec | None = None
    score: ScoreSpec | None = None
    limit: int | None = Field(default=None, gt=0)
    columns: dict[str, Any] = {}

    @property
    def set_name(self) -> str:
        """What stages and messages call the set: its `name`, else the file's or folder's."""
        return self.name or Path(self.path).stem

    @field_validator("in_context")
    @classmethod
    def _examples(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            from vecsmith.data.in_context import InContext

            InContext.of(value)
        return value
