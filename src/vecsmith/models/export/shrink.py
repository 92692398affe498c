"""A model of fewer layers and shorter vectors, as a folder that plain sentence-transformers loads.

2D Matryoshka sentence embeddings (arXiv 2402.14776): only a model without its upper layers is faster; reading an early
state of the whole one is not. [ours]: components are cut by a stock `Dense` that holds the first k rows of the
identity, before the model's own Normalize, so every reader of the layout gets unit vectors of k components without
knowing of it; a static model's table is cut itself.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import Contract
from vecsmith.contract.parity import ParityReport
from vecsmith.errors import ParityFailed, UsageError
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.models.layers import LayerStack
    from vecsmith.models.model import Model

__all__ = ["Shrunk", "export_shrunk", "shrink"]

LARGEST_DIFFERENCE = 2e-6  # of a component of a unit vector, between the short model and the long one's view

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Shrunk:
    """What was written: a folder, its contract, and how near its vectors are to the long model's view."""

    folder: Path
    contract: Contract
    report: ParityReport


def shrink(model: "SentenceTransformer", *, layers: int | None = None, width: int | None = None) -> "Model":
    """A copy with the first layers and components only; the model itself stays as it is.

    layers    1..N of a transformer; None keeps all
    width     1..d; None keeps all
    returns   a model whose vectors are the first `width` components after `layers` layers, at length 1 where the model
              normalises; save it with `.save(PATH)`
    raises    UsageError: neither is given, a layer or width that the model has not, layers of a static model
    """
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from torch import eye, nn

    from vecsmith.models.model import Model

    if layers is None and width is None:
        raise UsageError("nothing to cut; give a number of layers, a width, or both")
    whole = cast(int, model.get_embedding_dimension())
    if width is not None and not 1 <= width <= whole:
        raise UsageError(f"width {width} is none of this model; its vectors have 1 to {whole} components")
    first, *rest = model
    if layers is not None:
        from vecsmith.models.layers import layer_stack

        stack = layer_stack(model)
        if not 1 <= layers <= len(stack):
            raise UsageError(f"{layers} layers are none of this model; it has 1 to {len(stack)}")
        first = _of_fewer_layers(first, stack, layers)
    modules: list[Any] = [first if layers is not None else copy.deepcopy(first), *copy.deepcopy(rest)]
    if width is not None and width < whole:
        if isinstance(first, StaticEmbedding) and all(isinstance(each, Normalize) for each in rest):
            table = first.embedding.weight.detach()[:, :width].clone()
            modules[0] = StaticEmbedding(first.tokenizer, embedding_weights=table)
        else:
            place = len(modules) - isinstance(modules[-1], Normalize)
            full = cast(int, _width_before(model))
            cut = Dense(full, width, bias=False, activation_function=nn.Identity(), init_weight=eye(width, full))
            modules.insert(place, cut)
    shrunk = Model(
        modules=modules,
        device=str(model.device),
        prompts={name: text for name, text in model.prompts.items() if text is not None},
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
    )
    shrunk.on_truncation = getattr(model, "on_truncation", "warn")
    return shrunk.eval()


def export_shrunk(
    name_or_path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    layers: int | None = None,
    width: int | None = None,
    replace_folder: bool = False,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> Shrunk:
    """Write a model with its first layers and components only, checked against what the whole model gives there.

    layers, width    as for `shrink`
    replace_folder   replace an earlier export
    raises           UsageError, as `shrink`, or the folder exists; ParityFailed: the folder, opened anew, gives other
                     vectors than the view by more than 2e-6 of the longer of 1 and the vector's length
    """
    from vecsmith.atomic import new_folder
    from vecsmith.models.export.checks import reference_vectors
    from vecsmith.models.export.onnx import checked_target, read_reference
    from vecsmith.models.load import load
    from vecsmith.models.save import save

    target = checked_target(Path(output), replace_folder)
    with progress.task("loading the model", total=None):
        model, contract = read_reference(name_or_path, trust_remote_code)
    shrunk = shrink(model, layers=layers, width=width)
    expected = view_vectors(model, layers, width)
    name = "-".join([contract.name, *([f"{layers}-layers"] if layers else []), *([f"{width}-wide"] if width else [])])
    cut = " and ".join([*([f"{layers} layers"] if layers else []), *([f"{width} components"] if width else [])])
    lineage = (*(contract.record.get("lineage") or ()), f"the first {cut} of {contract.name} ({contract.fingerprint})")
    with progress.task("writing and checking", total=None), new_folder(target, replace=replace_folder) as folder:
        inner = folder / "model"
        written = save(shrunk, inner, name=name, licence=contract.record.get("licence"), lineage=lineage)
        for file in list(inner.iterdir()):
            file.rename(folder / file.name)
        inner.rmdir()
        again = load(folder, device="cpu", trust_remote_code=trust_remote_code)
        report = _compared(expected, reference_vectors(again), contract.name, str(output))
        if not report.same:
            raise ParityFailed(
                f"the folder written gives other vectors than {contract.name} after {cut}", report=report
            )
    return Shrunk(target, written, report)


def view_vectors(model: "SentenceTransformer", layers: int | None, width: int | None) -> Float:
    """What `reference_vectors` of the shrunk model should be, by the whole model: float32 [25, width]."""
    from vecsmith.contract.probes import PROBES
    from vecsmith.models.encode import backend_of
    from vecsmith.models.export.checks import MIXED, reference_vectors

    if layers is None:
        found = reference_vectors(model)
    else:
        from vecsmith.models.layers import layer_vectors

        backend = backend_of(model)
        inputs = [(backend.prompt_for(role), text) for _, text, role in PROBES]
        inputs += [(backend.prompt_for(None), text) for text in MIXED]
        found = np.concatenate([layer_vectors(model, [text], [layers], prompt=before)[0] for before, text in inputs])
    cut = found if width is None else found[:, :width]
    if not _normalises(model):
        return cut
    result: Float = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)
    return result


def _of_fewer_layers(first: Any, stack: "LayerStack", layers: int) -> Any:
    """A copy of the transformer module whose list of layers, and what its config says of them, is shorter."""
    with _only(stack, layers), _without_notes(first):
        short = copy.deepcopy(first)
    config = short.model.config
    for key, value in list(vars(config).items()):
        if "layer" in key and isinstance(value, list) and len(value) == len(stack):
            setattr(config, key, value[:layers])  # e.g. which layers look at a local window
    config.num_hidden_layers = layers
    return short


@contextmanager
def _only(stack: "LayerStack", layers: int) -> Iterator[None]:
    """Within it the model has its first layers only, so that copying does not copy the others."""
    stack.owner._modules[stack.name] = stack.layers[:layers]
    try:
        yield
    finally:
        stack.owner._modules[stack.name] = stack.layers


@contextmanager
def _without_notes(first: Any) -> Iterator[None]:
    """Within it what vecsmith found out about the module is not on it; it would not hold for a shorter copy."""
    notes = {key: first.__dict__.pop(key) for key in list(first.__dict__) if key.startswith("_vecsmith")}
    try:
        yield
    finally:
        first.__dict__.update(notes)


def _width_before(model: "SentenceTransformer") -> int | None:
    """Components of a vector before `truncate_dim`."""
    cut, model.truncate_dim = model.truncate_dim, None
    try:
        return model.get_embedding_dimension()
    finally:
        model.truncate_dim = cut


def _normalises(model: "SentenceTransformer") -> bool:
    return type(list(model)[-1]).__name__ == "Normalize"


def _compared(expected: Float, found: Float, model: str, target: str) -> ParityReport:
    from vecsmith.contract.parity import compare_vectors, verdict_of
    from vecsmith.contract.probes import PROBES

    names = [name for name, _, _ in PROBES] + [f"text {row + 1}" for row in range(len(expected) - len(PROBES))]
    verdict, worst = verdict_of(expected, found, LARGEST_DIFFERENCE)
    rows = tuple(compare_vectors(expected, found, names))
    return ParityReport(model, target, verdict, rows, LARGEST_DIFFERENCE, worst, (expected.shape[1], found.shape[1]))
