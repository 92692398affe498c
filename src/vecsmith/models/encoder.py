"""One interface for whoever needs vectors and does not care how they are made."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import Contract
from vecsmith.contract.folder import read_model_folder
from vecsmith.models.names import resolve_name
from vecsmith.models.static import StaticEncoder, is_static
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.models.model import Model

__all__ = ["Encoder", "TorchEncoder", "open_encoder"]

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

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, progress: Progress = SILENT) -> Float: ...

    def encode_query(self, texts: Sequence[str], progress: Progress = SILENT) -> Float: ...

    def encode_document(self, texts: Sequence[str], progress: Progress = SILENT) -> Float: ...

    def count_tokens(self, text: str) -> int: ...

    def unknown_share(self, texts: Sequence[str]) -> float: ...


def open_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    truncate_dim: int | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
    on_truncation: str = "warn",
) -> Encoder:
    """An encoder: numpy for static models (no torch is imported), else the model on torch.

    raises    as `vecsmith.load`
    """
    folder = resolve_name(name_or_path)
    if is_static(read_model_folder(folder)):
        return StaticEncoder.open(folder, truncate_dim=truncate_dim)
    from vecsmith.models.load import load

    options = {"truncate_dim": truncate_dim, "device": device, "trust_remote_code": trust_remote_code}
    return TorchEncoder(load(folder, on_truncation=on_truncation, **options))  # type: ignore[arg-type]


class TorchEncoder:
    """A loaded `Model` behind the interface of `Encoder`."""

    def __init__(self, model: "Model") -> None:
        from vecsmith.models.torch_backend import TorchBackend

        self.model = model
        self._backend = TorchBackend(model)

    @property
    def dimension(self) -> int:
        return self._backend.dimension

    @property
    def max_length(self) -> int:
        return self._backend.token_limit or 512

    @property
    def contract(self) -> Contract:
        return self.model.contract

    @property
    def name(self) -> str:
        return self.contract.name

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, progress: Progress = SILENT) -> Float:
        """float32 [n, dimension]; `prompt` is a role, "query" or "document", or a prompt's name."""
        from vecsmith.models.encode import encode

        return encode(self._backend, texts, prompt=prompt, on_truncation=self.model.on_truncation, progress=progress)

    def encode_query(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        return self.encode(texts, prompt="query", progress=progress)

    def encode_document(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        return self.encode(texts, prompt="document", progress=progress)

    def count_tokens(self, text: str) -> int:
        return int(self._backend.count([text], "")[0])

    def unknown_share(self, texts: Sequence[str]) -> float:
        return self._backend.unknown_share(list(texts))
