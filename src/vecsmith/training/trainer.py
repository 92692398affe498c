"""A SentenceTransformerTrainer that reads our `Batch`, encodes each distinct input once, and stops at a loss of NaN."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Normalize
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vecsmith.atomic import write_json
from vecsmith.data.batch import Batch
from vecsmith.data.sampler import EpochSampler
from vecsmith.errors import Damaged, Diverged, NotEnoughData
from vecsmith.objectives.loss import Loss
from vecsmith.progress import Task
from vecsmith.training.collate import Collator, EpochLoader, TrainingSet, source_of
from vecsmith.training.encoding import BEFORE_NORMALIZE, EncodedLoss, world
from vecsmith.training.objective import StageObjective
from vecsmith.training.recipe import SamplingSpec
from vecsmith.training.tally import Tally, removed

__all__ = ["BatchTrainer", "last_checkpoint", "load_trained", "own_copies", "trained"]

WEIGHTS = "trainable.safetensors"
STATE = "objective_state.safetensors"
TALLY = "tally.json"
COMPLETE = "complete.json"
MASKED_IN_A_ROW = 8


class BatchTrainer(SentenceTransformerTrainer):
    """The Trainer of sentence-transformers over our batches; checkpoints hold what is trained, and its state.

    model            any SentenceTransformer, PEFT adapters included
    args             training arguments; `per_device_train_batch_size` times the ranks is the global batch
    sets             the training sets
    objective        of the stage
    prompts          {"query": ..., "document": ...}
    mini_batch_size  None, or the inputs of a chunk for gradient caching
    save_seconds     a checkpoint so often, where `args.save_strategy` is "no"; None for never
    sampling         temperature, mixed_share, batch_tokens; for the last the sets need `tokens`
    task             progress, advanced a step at a time

    `tally` sums what the objective reports of each batch
    """

    def __init__(
        self,
        model: SentenceTransformer,
        args: SentenceTransformerTrainingArguments,
        sets: Sequence[TrainingSet],
        objective: StageObjective,
        *,
        prompts: dict[str, str] | None = None,
        mini_batch_size: int | None = None,
        save_seconds: float | None = None,
        sampling: SamplingSpec | None = None,
        task: Task | None = None,
    ) -> None:
        self.sets = list(sets)
        self.sampler = EpochSampler(
            [source_of(each) for each in self.sets],
            batch_size=args.train_batch_size * args.world_size,
            seed=args.data_seed if args.data_seed is not None else args.seed,
            **(sampling or SamplingSpec()).model_dump(),
        )
        self.tally = Tally()
        self.objective_state: dict[str, Tensor] = {}
        self.masked_in_a_row = 0
        self.masked_words = ""
        super().__init__(
            model=model,
            args=args,
            train_dataset=_Nothing(sum(len(source.rows) for source in self.sampler.sources)),
            loss=EncodedLoss(model, self._objective(objective), mini_batch_size, views=objective.views),
            data_collator=Collator(self.sets, model, prompts=prompts),  # type: ignore[arg-type]
            callbacks=[_Steps(task, save_seconds)],
        )
        self.remove_callback(PrinterCallback)
        self.args.dataloader_pin_memory = torch.cuda.is_available()
        self.hooks = keep_vectors_before_normalize(model)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and take the hooks off the model whatever happens.

        raises   Diverged; NotEnoughData where every batch was masked; Damaged: a checkpoint with a pickle that could
                 run code, which torch (weights_only) refused to open
        """
        try:
            return super().train(*args, **kwargs)
        except UnpicklingError as error:
            raise Damaged(
                f"{kwargs.get('resume_from_checkpoint')}: its optimizer, scheduler or random state is no plain data "
                "and was not opened. Remove this checkpoint and run again: training goes on from the one before"
            ) from error
        finally:
            for hook in self.hooks:
                hook.remove()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The objective on the batch that `inputs` holds."""
        progress = self.state.global_step / max(self.state.max_steps, 1)
        batch = replace(Batch.from_dict(inputs), progress=progress, state=self.objective_state)
        encoded: EncodedLoss = self.loss  # type: ignore[assignment]
        if encoded.model is not model:
            encoded.model = model
        value = encoded(batch)
        if not torch.isfinite(value):
            raise self._diverged("loss", value.item(), batch, inputs["record_rows"])
        named = {self.sets[number].columns.name for number in batch.dataset.unique().tolist()}
        self.tally.add(named.pop() if len(named) == 1 else "mixed", len(batch), encoded.parts)
        return (value, {}) if return_outputs else value

    def _objective(self, objective: StageObjective) -> Any:
        """The stage's objective, forgiving a masked batch among good ones."""

        def guarded(queries: Tensor, documents: Tensor, batch: Batch, *layers: Any) -> Loss:
            try:
                loss = objective(queries, documents, batch, *layers)
            except NotEnoughData as error:
                self.masked_in_a_row += 1
                names = [self.sets[number].columns.name for number in batch.dataset.unique().tolist()]
                self.masked_words = f"dataset {' and '.join(names)}: {error}"
                if self.masked_in_a_row >= min(MASKED_IN_A_ROW, max(self.state.max_steps, 1)):
                    raise NotEnoughData(self.masked_words) from error
                return Loss((queries.sum() + documents.sum()) * 0.0)
            self.masked_in_a_row = 0
            return loss

        return guarded

    def _diverged(self, what: str, value: float, batch: Batch, record_rows: np.ndarray) -> Diverged:
        step, owners = self.state.global_step + 1, batch.dataset.cpu().numpy()
        names, words, rows = [], [], []
        for number in np.unique(owners).tolist():
            columns = self.sets[number].columns
            own = columns.rows[record_rows[owners == number]].tolist()
            shown = ", ".join(map(str, own[:8])) + (", ..." if len(own) > 8 else "")
            names.append(columns.name)
            words.append(f"dataset {columns.name}, records {shown}")
            rows += own
        return Diverged(
            f"step {step}: the {what} is {value} on {'; '.join(words)}; the last good checkpoint "
            "is kept. Lower learning_rate, clip with max_grad_norm, or look at these records",
            step=step,
            dataset=", ".join(names),
            rows=rows,
        )

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """With what the objective reported since the last line: removed pairs summed, the rest as means."""
        super().log({**logs, **self.tally.since()} if "loss" in logs else logs, *args, **kwargs)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm that clipping found, None where nothing clips (another pass over the gradient costs as much)."""
        if grad_norm is not None and not np.isfinite(float(grad_norm)):
            step = self.state.global_step + 1
            raise Diverged(
                f"step {step}: the gradient's norm is {float(grad_norm)}; the last good checkpoint is kept. "
                "Lower learning_rate, or look at the records of this step",
                step=step,
            )
        return grad_norm

    def get_train_dataloader(self) -> DataLoader:
        """Every rank iterates the same global batches and takes its share of each."""
        return EpochLoader(self.sampler, self.data_collator, workers=self.args.dataloader_num_workers)  # type: ignore[arg-type]

    def preprocess_dataset(self, dataset: Any = None, dataset_name: str | None = None) -> Any:
        return dataset

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Our card says what a stranger needs; theirs reads datasets we do not have."""

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """The trained parameters and all buffers, and the objective's state."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_file(own_copies(trained(self.model)), folder / WEIGHTS)
        if self.objective_state:
            save_file(own_copies(self.objective_state), folder / STATE)
        write_json(folder / TALLY, self.tally.state())

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Marked complete only when all of it is written: a killed run goes on from the one before."""
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
            write_json(folder / COMPLETE, {"step": self.state.global_step})

    def _load_from_checkpoint(self, checkpoint_path: str, model: nn.Module | None = None) -> None:
        load_trained(self.model, Path(checkpoint_path) / WEIGHTS)
        state = os.path.join(checkpoint_path, STATE)
        kept = load_file(state, device=str(self.args.device)) if os.path.exists(state) else {}
        self.objective_state.update(kept)
        if (tally := Path(checkpoint_path) / TALLY).exists():
            self.tally.load(json.loads(tally.read_text(encoding="utf-8")))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint of a stage, or None."""
    found = [each.parent for each in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(found, key=lambda each: int(each.name.rpartition("-")[2]), default=None)


def trained(model: nn.Module) -> dict[str, Tensor]:
    """Parameters with a gradient and all persistent buffers, by name; tied ones once."""
    kept = {name: value for name, value in model.named_parameters() if value.requires_grad}
    names = set(model.state_dict())
    return {**kept, **{name: value for name, value in model.named_buffers() if name in names}}


def load_trained(model: nn.Module, file: Path) -> None:
    """Put saved parameters and buffers into a model, in place. Damaged: the file holds other ones."""
    own, saved = trained(model), load_file(file)
    if own.keys() != saved.keys() or any(own[name].shape != saved[name].shape for name in own):
        raise Damaged(f"{file} holds other parameters than this model trains; start afresh with --force")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])


def keep_vectors_before_normalize(model: nn.Module) -> list[Any]:
    """Hooks that put the vector that enters a Normalize module into the output, where objectives look first."""

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        inputs[0][BEFORE_NORMALIZE] = inputs[0]["sentence_embedding"]

    return [each.register_forward_pre_hook(keep) for each in model.modules() if isinstance(each, Normalize)]


def own_copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


class _Nothing:
    """The Trainer asks its dataset for a length and nothing else: batches come from the sampler."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows


class _Steps(TrainerCallback):
    """Progress a step at a time, and checkpoints by the clock, decided by rank 0 for all."""

    def __init__(self, task: Task | None, save_seconds: float | None) -> None:
        self.task, self.save_seconds, self.last = task, save_seconds, time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.last = time.monotonic()
        if self.task and state.global_step:
            self.task.advance(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.task:
            self.task.advance()
        if self.save_seconds is None or args.save_strategy != "no" or state.global_step >= state.max_steps:
            return
        due = time.monotonic() - self.last >= self.save_seconds
        if world()[1] > 1:
            decision = torch.tensor([float(due)], device=args.device)
            torch.distributed.broadcast(decision, 0)
            due = bool(decision.item())
        if due:
            control.should_save = True
            self.last = time.monotonic()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        loss = (kwargs.get("logs") or {}).get("loss")
        if self.task and loss is not None:
            gone = removed(kwargs["logs"])
            self.task.note(f"loss {loss:.3f}" + (f", removed {gone}" if gone else ""))
