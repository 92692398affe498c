"""A SentenceTransformer that knows its contract; made by `vecsmith.load`, imported only then."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import import_from_string
from torch import nn

from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.describe import contract_of
from vecsmith.errors import ContractError
from vecsmith.progress import SILENT, Progress

__all__ = ["Model"]

CLOSED = ("sentence_transformers.", "vecsmith.")


class Model(SentenceTransformer):
    """`SentenceTransformer` with `contract`, `encode_to` and `on_truncation`; names and defaults are the parent's."""

    on_truncation: str = "warn"
    _source: Path | None = None
    _untouched: tuple[object, ...] = ()
    _held: Contract | None = None

    @classmethod
    def from_folder(cls, folder: Path, *, on_truncation: str = "warn", **options: Any) -> "Model":
        """Load a folder that `load` has checked; options are SentenceTransformer's."""
        model = cls(str(folder), **options)
        model.on_truncation = on_truncation
        model._source = folder
        model._untouched = model._state_of_weights()
        return model

    @property
    def folder(self) -> Path | None:
        """The folder that holds what is in memory; None where no folder does."""
        return self._source if self._state_of_weights() == self._untouched else None

    @property
    def contract(self) -> Contract:
        """What vectors of this model are made by.

        raises    ContractError: the weights are not those of a folder: built in memory, or trained since loading
        """
        folder = self.folder
        if folder is None:
            what = "was built in memory" if self._source is None else "was changed since it was loaded"
            raise ContractError(f"this model {what} and has no contract yet; save it first: model.save(PATH)")
        if self._held is None:  # without a file it is computed, which hashes all weights
            self._held = Contract.read(folder) if (folder / FILE_NAME).is_file() else contract_of(folder)
        held = self._held
        prompts = {name: text for name, text in sorted(self.prompts.items()) if text}
        space = {**held.space, "prompts": {"texts": prompts, "default": self.default_prompt_name}}
        if hasattr(self[0], "processor"):
            space["max_length"] = self.max_seq_length
        seen = held.seen(width=self.get_embedding_dimension(), similarity=self.similarity_fn_name)
        return Contract(space, seen.view, held.record, held.probes)

    def encode(self, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """sentence-transformers' `encode`; plain texts to a numpy matrix go through vecsmith's driver.

        Differs from the parent in two things: cut inputs are counted (`on_truncation`), and vectors that had unit
        length have it again after `truncate_dim`.
        """
        from vecsmith.models.encode import encode_counted

        batch_size = _plain_batch_size(inputs, arguments, options)
        if batch_size is None:
            return super().encode(inputs, *arguments, **options)
        prompt_text = self._resolve_prompt(options.get("prompt"), options.get("prompt_name")) or ""
        found = encode_counted(
            self,
            inputs,
            prompt=options.get("task"),
            prompt_text=prompt_text,
            token_budget=batch_size * min(self.max_seq_length or 512, 512),
            on_truncation=self.on_truncation,
        )
        return found.vectors

    def encode_to(
        self, inputs: Iterable[str], path: str | os.PathLike[str], *, progress: Progress = SILENT, **options: Any
    ) -> Any:
        """Encode into a folder of shards that resumes; see `vecsmith.models.shards.encode_to`."""
        from vecsmith.models.shards import encode_to

        options.setdefault("on_truncation", self.on_truncation)
        return encode_to(self, inputs, path, progress=progress, **options)

    def save(
        self,
        path: str | os.PathLike[str],
        model_name: str | None = None,
        create_model_card: bool = True,
        train_datasets: list[str] | None = None,
        safe_serialization: bool = True,
    ) -> None:
        """Save in the layout of `vecsmith.models.save`: readable by plain sentence-transformers, with a contract.

        raises    ContractError: safe_serialization=False; pickle is neither written nor read
        """
        from vecsmith.models.save import save

        if not safe_serialization:
            raise ContractError("vecsmith writes safetensors only; leave safe_serialization at True")
        save(self, path, name=model_name, card=create_model_card, in_place=True, train_datasets=train_datasets)

    def stock_save(self, path: str, *, card: bool, train_datasets: list[str] | None = None) -> None:
        """The parent's `save`, which `vecsmith.models.save` builds on."""
        super().save(path, create_model_card=card, train_datasets=train_datasets)

    def adopt(self, folder: Path) -> None:
        """From now on the weights in memory are those of this folder."""
        self._source, self._untouched, self._held = folder, self._state_of_weights(), None

    def _state_of_weights(self) -> tuple[object, ...]:
        """What changes when weights do, without reading them all."""
        # torch counts in-place changes of each tensor, so a training step shows; a write through `.data` is not
        # counted, hence the few sampled values. A move to another device changes none of these.
        return tuple(
            (
                name,
                id(tensor),
                tensor._version,
                tensor.dtype,
                tensor.detach().flatten()[:: tensor.numel() // 16 + 1].tolist(),
            )
            for name, tensor in self.state_dict(keep_vars=True).items()
        )

    def _load_module_class_from_ref(self, class_ref: str, *arguments: Any, **options: Any) -> type:
        if not class_ref.startswith(CLOSED):
            return super()._load_module_class_from_ref(class_ref, *arguments, **options)
        found = import_from_string(class_ref)
        if not (isinstance(found, type) and issubclass(found, nn.Module)):
            raise ContractError(f'modules.json names "{class_ref}", which is no module; copy the model again')
        return found


def _plain_batch_size(inputs: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> int | None:
    """The batch size of a call that the driver can answer: texts in, one float32 numpy matrix out; else None."""
    plain = {
        "show_progress_bar": (None, False),
        "output_value": ("sentence_embedding",),
        "precision": ("float32", None),
        "convert_to_numpy": (True,),
        "convert_to_tensor": (False,),
        "device": (None,),
        "normalize_embeddings": (False,),
        "truncate_dim": (None,),
        "pool": (None,),
        "chunk_size": (None,),
        "task": (None, "query", "document"),
    }
    known = {*plain, "batch_size", "prompt", "prompt_name"}
    if arguments or not set(options) <= known or any(options.get(k, v[0]) not in v for k, v in plain.items()):
        return None
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    if not isinstance(inputs, list | tuple) or not inputs or not all(isinstance(text, str) for text in inputs):
        return None
    size = options.get("batch_size", 32)
    return size if isinstance(size, int) and size > 0 else None
