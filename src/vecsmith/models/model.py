"""A SentenceTransformer that knows its contract; made by `vecsmith.load`, imported only then."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import import_from_string
from torch import nn

from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.describe import contract_of
from vecsmith.errors import ContractError, Damaged, UsageError, VecsmithError
from vecsmith.models.quantise import PRECISIONS, Quantiser, stored_quantiser
from vecsmith.models.quiet import without_foreign_bars
from vecsmith.models.static import unit_rows
from vecsmith.models.unfilled import weights_from_files
from vecsmith.progress import SILENT, Bars, Progress

__all__ = ["Model"]

# Options of sentence-transformers' `encode` and the values that the driver can answer.
PLAIN: dict[str, tuple[Any, ...]] = {
    "show_progress_bar": (None, False, True),
    "output_value": ("sentence_embedding",),
    "precision": ("float32", None),
    "convert_to_numpy": (True, False),
    "convert_to_tensor": (False, True),
    "device": (None,),
    "normalize_embeddings": (False, True),
    "truncate_dim": (None,),
    "pool": (None,),
    "chunk_size": (None,),
    "task": (None, "query", "document"),
}
CLOSED = ("sentence_transformers.", "vecsmith.")


class Model(SentenceTransformer):
    """`SentenceTransformer` with `contract`, `encode_to` and `on_truncation`; names and defaults are the parent's."""

    on_truncation: str = "warn"
    _source: Path | None = None
    _untouched: tuple[object, ...] = ()
    _held: Contract | None = None
    _computes_in: str | None = None

    @classmethod
    def from_folder(cls, folder: Path, *, on_truncation: str = "warn", **options: Any) -> "Model":
        """Load a folder that `load` has checked; options are SentenceTransformer's.

        raises    ContractError: sentence-transformers or transformers cannot read it; Damaged: weights that the file
                  does not hold, which transformers would draw at random
        """
        try:
            with weights_from_files(folder), without_foreign_bars():
                model = cls(str(folder), **options)
            model._try()
        except (VecsmithError, MemoryError):
            raise
        except Exception as error:  # a dozen libraries read a model folder, each with its own errors
            words = str(error).strip().partition("\n")[0]
            raise ContractError(
                f"{folder} cannot be loaded ({type(error).__name__}: {words}). A file of it is broken or missing, or "
                "of a newer version: copy the model again; --debug shows where"
            ) from error
        model.on_truncation = on_truncation
        model._source = folder
        model._untouched = model._state_of_weights()
        return model

    def _try(self) -> None:
        """Encode two texts: what a configuration gets wrong shows here, not at the first of a million texts."""
        from vecsmith.models.torch_encoder import TorchEncoder

        encoder = TorchEncoder(self)
        vectors = encoder.embed(["word", "two words"], "", "query")
        if vectors.shape[1] != encoder.dimension:
            raise Damaged(
                f"the model says that its vectors are {encoder.dimension} wide and gives {vectors.shape[1]}: its "
                "configuration and its weights disagree; copy the model again"
            )

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
        if self._computes_in is not None:
            seen = seen.seen(dtype=self._computes_in)
        return Contract(space, seen.view, held.record, held.probes)

    def compute_in(self, dtype: str) -> str:
        """From now on compute in "bfloat16", or in what "auto" measures to be best; returns which.

        The weights stay those of the folder, rounded: another view of the same space, not a change to be saved.
        """
        from vecsmith.models.precision import set_dtype

        untouched = self.folder is not None
        taken = set_dtype(self, dtype, identity=self.contract.fingerprint if dtype == "auto" and untouched else "")
        if taken != "float32":
            self._computes_in = taken
            if untouched:
                self._untouched = self._state_of_weights()
        return taken

    def encode(self, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """sentence-transformers' `encode`, through vecsmith's driver for a text or texts to vectors.

        Differs from the parent in two things: cut inputs are counted (`on_truncation`), and vectors that had unit
        length have it again after `truncate_dim`. Images, token vectors, other precisions, several devices and
        options the driver does not know go to the parent. `batch_size` bounds the tokens of a batch: so many inputs
        of full length; left out, the driver chooses.

        `precision` int8 and uint8 take the ranges that `calibrate` stored, never those of the batch; without them a
        ContractError says how to get them.
        """
        from vecsmith.models.encode import encode_counted

        precision = arguments[5] if len(arguments) > 5 else options.get("precision")
        if precision in PRECISIONS:
            return self._encode_stored(inputs, arguments, options, precision)
        texts = _texts_of(inputs)
        if texts is None or arguments or not _is_plain(options, self.dtype):
            return super().encode(inputs, *arguments, **options)
        size = options.get("batch_size")
        found = encode_counted(
            self,
            texts,
            prompt=options.get("task"),
            prompt_text=self._resolve_prompt(options.get("prompt"), options.get("prompt_name")) or "",
            token_budget=size and size * min(self.max_seq_length or 512, 512),
            on_truncation=self.on_truncation,
            progress=Bars() if options.get("show_progress_bar") else SILENT,
        )
        vectors: Any = unit_rows(found.vectors) if options.get("normalize_embeddings") else found.vectors
        if options.get("convert_to_tensor"):
            vectors = torch.from_numpy(vectors).to(self.device)
        return vectors[0] if isinstance(inputs, str) else vectors

    def _encode_stored(self, inputs: Any, arguments: tuple[Any, ...], options: dict[str, Any], precision: str) -> Any:
        """Codes by stored ranges: int8 or uint8 [n, d], [d] for one text."""
        plain = {name: value for name, value in options.items() if not name.startswith("convert_to")}
        plain.pop("precision", None)
        given = (*arguments[:5], "float32", True, False, *arguments[8:]) if len(arguments) > 5 else arguments
        vectors = self.encode(inputs, *given, **plain)
        if not isinstance(vectors, np.ndarray):
            raise UsageError(f'precision "{precision}" is of one vector per input; leave output_value as it is')
        width = vectors.shape[-1]
        binary = precision in ("binary", "ubinary")
        held = Quantiser(precision, width) if binary else stored_quantiser(self.contract, precision, width)
        codes, _ = held.quantise(np.atleast_2d(vectors))
        return codes[0] if vectors.ndim == 1 else codes

    def calibrate(
        self, inputs: "Iterable[str] | np.ndarray", *, prompt: str | None = None, progress: Progress = SILENT
    ) -> Contract:
        """Measure the ranges of the components and keep them in the contract of the model's folder.

        inputs    texts of the kind that will be stored, thousands; or vectors float [n, width] of this model
        prompt    role of the texts: "query", "document", a prompt's name, or None for the default
        returns   the contract as it was written; from now on `encode(..., precision="int8")` works
        raises    ContractError: the model has no folder of its own; NotEnoughData: fewer than 100 inputs
        """
        from vecsmith.models.calibration import calibrate_folder

        folder = self.folder
        if folder is None:
            raise ContractError("this model is not saved, so its ranges have no place; save it first: model.save(PATH)")
        found = calibrate_folder(folder, self, inputs, prompt=prompt, progress=progress)
        self._held = None
        return found.contract

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
        with without_foreign_bars():
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


def _texts_of(inputs: Any) -> list[str] | None:
    """The texts of a call whose inputs are nothing else, and at least one; None otherwise."""
    if isinstance(inputs, str):
        return [inputs]
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    if not isinstance(inputs, list | tuple) or not inputs or not all(isinstance(text, str) for text in inputs):
        return None
    return list(inputs)


def _is_plain(options: dict[str, Any], dtype: Any) -> bool:
    """Whether the driver can answer a call: one vector per text, float32."""
    size = options.get("batch_size", 32)
    return (
        options.keys() <= PLAIN.keys() | {"batch_size", "prompt", "prompt_name"}
        and all(options[key] in PLAIN[key] for key in options.keys() & PLAIN.keys())
        and not (options.get("convert_to_tensor") and dtype != torch.float32)
        and (options.get("convert_to_numpy", True) or bool(options.get("convert_to_tensor")))
        and type(size) is int
        and size > 0
    )
