"""An ONNX file that can be used as a SentenceTransformer: encoding, similarity, prompts and widths; no training."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.base.modules.input_module import InputModule
from torch import Tensor

from vecsmith.atomic import new_folder
from vecsmith.errors import UsageError
from vecsmith.models.model import Model
from vecsmith.models.onnx_encoder import OnnxEncoder

__all__ = ["OnnxModel", "OnnxModule"]


class OnnxModule(InputModule):
    """The one module of an `OnnxModel`: tokenises, and runs the graph on the CPU."""

    config_keys: list[str] = []  # noqa: RUF012  the parent's form

    def __init__(self, encoder: OnnxEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = encoder.tokenizer

    def preprocess(self, inputs: list[str], prompt: str | None = None, **options: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """int64 [n, longest] for each input of the graph."""
        texts = [(prompt or "") + text for text in inputs]
        return {name: torch.from_numpy(value) for name, value in self.encoder.tokenize(texts).items()}

    def forward(self, features: dict[str, Tensor], **options: Any) -> dict[str, Tensor]:
        """Adds `sentence_embedding`, float32 [n, width]; nothing flows back from it."""
        given = {name: features[name].cpu().numpy() for name in self.encoder.inputs}
        return {**features, "sentence_embedding": torch.from_numpy(self.encoder.run(given))}

    @property
    def max_seq_length(self) -> int | None:
        return self.encoder.token_limit

    def get_embedding_dimension(self) -> int:
        return self.encoder.full_width

    def save(self, output_path: str, *arguments: Any, **options: Any) -> None:
        raise UsageError("an ONNX model is saved whole: model.save(PATH)")


class OnnxModel(Model):
    """What `vecsmith.load` gives for an exported folder, and for `dtype="int8"`: a Model that runs on onnxruntime.

    Every way of `encode` goes through the graph, on the CPU. It has no weights to train: `train()` and the trainer
    refuse it.
    """

    @classmethod
    def from_encoder(cls, encoder: OnnxEncoder, *, truncate_dim: int | None = None) -> "OnnxModel":
        """A model around an open encoder."""
        model = cls(
            modules=[OnnxModule(encoder)],
            device="cpu",
            prompts=dict(encoder.files.prompts),
            default_prompt_name=encoder.files.default_prompt,
            similarity_fn_name=encoder.contract.view["similarity"],
            truncate_dim=truncate_dim,
        )
        model.on_truncation = encoder.on_truncation
        model._source = encoder.folder
        model._untouched = model._state_of_weights()
        model._held = encoder.contract
        return model.eval()

    @property
    def own_backend(self) -> OnnxEncoder:
        """What the driver runs instead of torch."""
        module: Any = self[0]
        encoder: OnnxEncoder = module.encoder.cut_to(self.truncate_dim)
        return encoder

    def train(self, mode: bool = True) -> "OnnxModel":
        """Evaluation mode is the only one.

        raises    UsageError: mode=True
        """
        if mode:
            raise UsageError(
                "this model runs an ONNX graph, which has no weights to train; train the float32 model (vecsmith.load "
                "without dtype, or the folder it was exported from) and export it again"
            )
        return super().train(mode)

    def compute_in(self, dtype: str) -> str:
        """A graph computes as it was exported.

        raises    UsageError
        """
        raise UsageError(f"an ONNX graph computes as it was exported, not in {dtype}; load the model it was made of")

    def save(self, path: str | os.PathLike[str], *arguments: Any, **options: Any) -> None:
        """Copy the exported folder; `vecsmith.load` opens the copy.

        raises    UsageError: the folder exists, or the model is a file from elsewhere
        """
        source = self._source
        if source is None:
            raise UsageError("this ONNX file was not exported by vecsmith; copy it and its tokenizer.json yourself")
        target = Path(path)
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        if target.exists():
            raise UsageError(f"{target} exists already; give a new path")
        with new_folder(target) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
