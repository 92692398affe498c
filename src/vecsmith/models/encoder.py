"""One interface for whoever needs vectors and does not care how they are made."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import Contract
from vecsmith.contract.folder import read_model_folder
from vecsmith.errors import UsageError
from vecsmith.models.names import resolve_name
from vecsmith.models.onnx_files import is_onnx, is_openvino
from vecsmith.models.static import StaticEncoder, is_static
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.models.onnx_encoder import OnnxEncoder
    from vecsmith.models.torch_encoder import TorchEncoder

__all__ = ["Encoder", "TorchEncoder", "open_encoder", "runtime_encoder"]

Float = NDArray[np.float32]


class Encoder(Protocol):
    """Texts to vectors, with a contract."""

    @property
    def dimension(self) -> int: ...

    @property
    def max_length(self) -> int:
        """Tokens that a passage is best cut to."""
        ...

    @property
    def contract(self) -> Contract: ...

    @property
    def name(self) -> str: ...

    def encode(self, texts: Iterable[str], *, prompt: str | None = None, progress: Progress = SILENT) -> Float: ...

    def encode_query(self, texts: Sequence[str], progress: Progress = SILENT) -> Float: ...

    def encode_document(self, texts: Sequence[str], progress: Progress = SILENT) -> Float: ...

    def count_tokens(self, text: str) -> int: ...

    def unknown_share(self, texts: Iterable[str]) -> float: ...


def open_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    truncate_dim: int | None = None,
    device: str | None = None,
    dtype: str = "float32",
    trust_remote_code: bool = False,
    on_truncation: str = "warn",
) -> Encoder:
    """An encoder: numpy for static models and onnxruntime for exported ones (no torch is imported), else torch.

    dtype     as in `vecsmith.load`
    raises    as `vecsmith.load`
    """
    folder = resolve_name(name_or_path)
    if dtype == "int8":
        from vecsmith.models.export.cached import int8_folder

        folder = int8_folder(name_or_path, trust_remote_code=trust_remote_code)
    if is_onnx(folder) or is_openvino(folder):
        return runtime_encoder(folder, dtype=dtype, truncate_dim=truncate_dim, on_truncation=on_truncation)
    if is_static(read_model_folder(folder)):
        return StaticEncoder.open(folder, truncate_dim=truncate_dim)
    from vecsmith.models.load import load
    from vecsmith.models.torch_encoder import TorchEncoder

    model = load(
        folder,
        truncate_dim=truncate_dim,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        on_truncation=on_truncation,
    )
    return TorchEncoder(model)


def runtime_encoder(folder: Path, *, dtype: str = "float32", **options: Any) -> "OnnxEncoder":
    """The encoder of an exported folder, or of an .onnx file; options are those of `OnnxEncoder.open`.

    raises    UsageError: dtype="bfloat16"; a graph computes as it was exported
    """
    if dtype == "bfloat16":
        raise UsageError(f"{folder} computes as it was exported; load the model it was made of with dtype={dtype!r}")
    if is_openvino(folder):
        from vecsmith.models.openvino_encoder import OpenVinoEncoder

        return OpenVinoEncoder.open(folder, **options)
    from vecsmith.models.onnx_encoder import OnnxEncoder

    return OnnxEncoder.open(folder, **options)


def __getattr__(name: str) -> Any:
    if name == "TorchEncoder":  # fetched when first asked for: it imports torch
        from vecsmith.models.torch_encoder import TorchEncoder

        return TorchEncoder
    raise AttributeError(f"module 'vecsmith.models.encoder' has no attribute {name!r}")
