"""LoRA by PEFT: put adapters into the transformer of a model, and fold them into its weights when it is saved.

Hu et al., 2021 (arXiv 2106.09685). [ours]: the adapters are merged, so the saved folder holds a stock model that
loads without PEFT.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vecsmith.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["add_adapter", "merge_adapters"]


def add_adapter(model: "SentenceTransformer", options: Mapping[str, Any]) -> None:
    """Freeze the transformer of a model and add trainable LoRA layers to it, in place.

    options   of peft.LoraConfig: r, lora_alpha, target_modules, lora_dropout, ...
    raises    UsageError: the model has no transformer; ValueError, TypeError: peft refuses the options
              MissingExtra: peft is not installed
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtra("dev", "a recipe with model.peft") from error
    from sentence_transformers.sentence_transformer.modules import Transformer

    transformers = [module for module in model if isinstance(module, Transformer)]
    if not transformers:
        raise UsageError("model.peft adds adapters to a transformer; this model has none. Leave it out")
    for module in transformers:
        inject_adapter_in_model(LoraConfig(**options), module.model)


def merge_adapters(model: "SentenceTransformer") -> int:
    """Fold every adapter into the layer below it and take it off, in place; the number of layers."""
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError:
        return 0
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, BaseTunerLayer)
    ]
    for parent, name, child in found:
        child.merge()
        setattr(parent, name, child.get_base_layer())
    return len(found)
