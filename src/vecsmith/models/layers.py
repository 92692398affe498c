"""A transformer's vectors after fewer layers, from one forward pass; and where its layers stand.

    tokens -> layer 1 -> ... -> layer n -> ... -> layer N -> final norm, where there is one -> pooling, dense, ...
                                  `-> final norm -> the same pooling, dense, ...            : the view of layer n

2D Matryoshka sentence embeddings (arXiv 2402.14776) reads hidden states as they are. [ours]: where an architecture has
a norm after its last layer, states of earlier layers pass through it too, in training as in a model cut to n layers,
because a cut model applies it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn

from vecsmith.errors import UsageError

__all__ = ["LayerStack", "layer_stack", "layer_vectors", "layer_views", "view_key"]

Read = Callable[[Mapping[str, Any]], Tensor]

CHECK_LENGTH = 5
LARGEST_DIFFERENCE = 1e-5  # of a component, relative to the larger of 1 and the largest


@dataclass(frozen=True)
class LayerStack:
    """The layers of a transformer.

    owner    the module that holds them, under `name`
    layers   N of them, applied in order
    norm     what follows the last one, or None
    """

    owner: nn.Module
    name: str
    layers: nn.ModuleList
    norm: nn.Module | None

    def __len__(self) -> int:
        return len(self.layers)


def view_key(layer: int) -> str:
    """The key of the output under which the vector of a layer's view stands."""
    return f"embedding_of_layer_{layer}"


def layer_stack(model: SentenceTransformer) -> LayerStack:
    """The layers of a model's transformer; found once per model, and checked by a forward pass of a few tokens.

    raises   UsageError: a static model, layers that are no list (shared ones, as in ALBERT), an encoder with a decoder,
             or something else than a norm after the last layer
    """
    first = model[0]
    if not isinstance(first, Transformer):
        raise UsageError(
            f"this model has no layers: its first module is {type(first).__name__}. Layers and 2-D Matryoshka are for "
            "transformers; for a static model take the 1-D matryoshka, or width alone"
        )
    known = first.__dict__.get("_vecsmith_layers")
    if known is None or known.owner._modules.get(known.name) is not known.layers:
        known = first.__dict__["_vecsmith_layers"] = _found(first)
    return cast(LayerStack, known)


@contextmanager
def layer_views(model: SentenceTransformer, layers: Sequence[int], read: Read) -> Iterator[None]:
    """Within it, outputs of `model` also hold the vectors of these layers, under `view_key(layer)`: float [n, d].

    layers   each 1..N-1 of `layer_stack(model)`; none changes nothing
    read     what takes a vector out of the features that all modules have seen
    Works on padded and on packed rows, under autograd, with gradient checkpointing, and where a wrapper such as DDP
    calls the model. The parts after the transformer run once per view, on features of their own.
    raises   UsageError: a layer that is none
    """
    stack, states, seen = layer_stack(model), dict[int, Tensor](), dict[str, Tensor]()
    for layer in layers:
        if not 1 <= layer < len(stack):
            raise UsageError(
                f"layer {layer} is no shallow one; a model of {len(stack)} layers has 1 to {len(stack) - 1}"
            )

    def keep(layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            states[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    def see(module: nn.Module, inputs: Any, output: dict[str, Any]) -> None:
        # Here, not after the whole model: later modules must run in the number type that they run in for view 0.
        for layer in layers:
            seen[view_key(layer)] = read(_later(model, stack, output, states.pop(layer)))

    def add(module: nn.Module, inputs: Any, output: dict[str, Any]) -> None:
        output.update(seen)
        seen.clear()

    hooks = [stack.layers[layer - 1].register_forward_hook(keep(layer)) for layer in dict.fromkeys(layers)]
    hooks += [model[0].register_forward_hook(see), model.register_forward_hook(add)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def layer_vectors(
    model: SentenceTransformer, texts: Sequence[str], layers: Sequence[int], *, prompt: str = "", batch_size: int = 32
) -> Tensor:
    """Vectors of texts after each of these layers: float32 [len(layers), n, d], as they leave the last module.

    layers   each 1..N; N is the model itself
    prompt   text put before each
    """
    stack = layer_stack(model)
    shallow = [layer for layer in dict.fromkeys(layers) if layer != len(stack)]
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    result = torch.empty(len(layers), len(texts), cast(int, model.get_embedding_dimension()))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), layer_views(model, shallow, _finished):
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                features = model.preprocess([texts[row] for row in rows], prompt=prompt or None)
                moved = {k: v.to(model.device) if isinstance(v, Tensor) else v for k, v in features.items()}
                output = model(moved)
                for place, layer in enumerate(layers):
                    key = "sentence_embedding" if layer == len(stack) else view_key(layer)
                    result[place, rows] = output[key].float().cpu()
    finally:
        model.train(was_training)
    return result


def _finished(features: Mapping[str, Any]) -> Tensor:
    return cast(Tensor, features["sentence_embedding"])


def _later(model: SentenceTransformer, stack: LayerStack, opening: dict[str, Any], state: Tensor) -> dict[str, Any]:
    """What the modules after the transformer make of a layer's state; `opening` stays as it is."""
    features = {**opening, "token_embeddings": state if stack.norm is None else stack.norm(state)}
    for module in list(model)[1:]:
        features = module(features)
    return features


def _found(first: Transformer) -> LayerStack:
    inner, config = cast(Any, first.model), first.model.config
    count = getattr(config, "num_hidden_layers", None)
    named = [
        (name, module)
        for name, module in inner.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and len({type(each) for each in module}) == 1
    ]
    if first.module_output_name != "token_embeddings" or not named or getattr(config, "is_encoder_decoder", False):
        raise UsageError(
            f"{type(inner).__name__} has no list of {count} layers of one kind whose states could be read one by one; "
            "layers of this architecture cannot be left out"
        )
    name, layers = named[0]
    owner = inner.get_submodule(name.rpartition(".")[0])
    place = name.rpartition(".")[2]
    norms = [
        child
        for other, child in owner.named_children()
        if other != place and "norm" in f"{type(child).__name__}".lower() and not isinstance(child, nn.ModuleList)
    ]
    return _checked(first, owner, place, layers, norms)


def _checked(
    first: Transformer, owner: nn.Module, name: str, layers: nn.ModuleList, norms: list[nn.Module]
) -> LayerStack:
    """The stack with the norm, or none, that takes the last layer's state to the output; seen in a forward pass."""
    inner, seen = cast(Any, first.model), list[Tensor]()
    hook = layers[-1].register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
    was_training = inner.training
    inner.eval()
    try:
        ids = torch.arange(CHECK_LENGTH, device=inner.device)[None] + 5
        with torch.no_grad():
            output = inner(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            for norm in (None, *norms):
                found = seen[0] if norm is None else norm(seen[0])
                if (found - output).abs().max() <= LARGEST_DIFFERENCE * max(1.0, float(output.abs().max())):
                    return LayerStack(owner, name, layers, norm)
    finally:
        hook.remove()
        inner.train(was_training)
    raise UsageError(
        f"{type(inner).__name__} does more after its last layer than one norm; states of earlier layers would not be "
        "those of a shorter model"
    )
