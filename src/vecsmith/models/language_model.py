"""Open a causal language model from a folder: safetensors only, no code of the folder's, nothing fetched."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.errors import ContractError, UsageError
from vecsmith.models.folder_hash import folder_fingerprint
from vecsmith.models.quiet import without_foreign_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LanguageModel", "load_language_model"]

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class LanguageModel:
    """A language model ready to read.

    model         in evaluation mode
    tokenizer     a fast one: it knows which characters each token covers
    name          what people call it
    fingerprint   32 hex digits of config, weights and tokenizer
    context       most tokens it reads
    """

    model: "PreTrainedModel"
    tokenizer: Any
    name: str
    fingerprint: str
    context: int


def load_language_model(
    name_or_path: str | os.PathLike[str], *, dtype: str = "float32", device: str | None = None
) -> LanguageModel:
    """A causal language model by name or folder.

    name_or_path   "smol" (SmolLM2-135M-Instruct, converted once from its package), or a folder of transformers
    dtype          how it computes: "float32" or "bfloat16"
    device         "cpu", "cuda", ...; by default where torch puts tensors
    raises         MissingExtra: smol is not installed; UsageError: unknown dtype, no such folder; ContractError: the
                   folder has no safetensors or no fast tokenizer, or is no language model, or one that looks ahead
    """
    if dtype not in DTYPES:
        raise UsageError(f'dtype is "{dtype}"; a language model computes in {" or ".join(DTYPES)}')
    if name_or_path == "smol":
        from vecsmith.models.smol import smol_folder

        folder = smol_folder()
    else:
        folder = Path(name_or_path).expanduser()
    if not (folder / "config.json").is_file():
        raise UsageError(f'no language model "{name_or_path}": names: smol; or give a folder with a config.json')
    if not any(folder.glob("*.safetensors")):
        raise ContractError(f"{folder} has no safetensors; pickled weights can run code, so they are refused")
    return _opened(folder, str(name_or_path if name_or_path == "smol" else folder.name), dtype, device)


def _opened(folder: Path, name: str, dtype: str, device: str | None) -> LanguageModel:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with without_foreign_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=getattr(torch, dtype),
            )
    except (ValueError, KeyError, OSError) as error:
        raise ContractError(f"{folder} is no causal language model: {str(error).splitlines()[0]}") from error
    if not tokenizer.is_fast:
        raise ContractError(f"{folder} has no tokenizer.json; without it nobody knows which characters a token covers")
    model.eval()
    if device is not None:
        model.to(torch.device(device))  # type: ignore[arg-type]
    _refuse_foresight(model, folder)
    context = int(getattr(model.config, "max_position_embeddings", 0) or 2**31)
    return LanguageModel(model, tokenizer, name, folder_fingerprint(folder), context)


def _refuse_foresight(model: Any, folder: Path) -> None:
    """A model whose earlier words change with a later one, as an encoder's do, gives no likelihood."""
    import torch

    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=model.device) % model.config.vocab_size
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[:, :3].float()
    if not torch.allclose(logits[0], logits[1], atol=1e-3):
        raise ContractError(f"{folder} looks ahead: its words hang on later ones, so it is no causal language model")
