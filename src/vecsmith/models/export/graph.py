"""A model's whole pipeline as one ONNX file: token ids and their mask in, sentence vectors out.

The graph holds every module (transformer, pooling, dense layers, normalisation) and, where the model cuts its vectors,
the cut. It is made of standard ONNX operators only.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn

from vecsmith.errors import ContractError, MissingExtra

__all__ = ["OPSET", "OUTPUT", "Pipeline", "graph_inputs", "write_graph"]

OPSET = 20  # the first with Gelu
OUTPUT = "sentence_embedding"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LARGEST_FILE = 1_800_000_000  # one protobuf holds 2 GB; weights beyond that lie in a file beside it


class Pipeline(nn.Module):
    """All modules of a model behind one call with tensors.

    names   what the positional arguments are called: "input_ids", "attention_mask" and perhaps "token_type_ids",
            each int64 [batch, length]
    returns float32 [batch, dimension]
    """

    def __init__(self, model: SentenceTransformer, names: tuple[str, ...]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(list(model))
        self.names = names
        self.width = model.truncate_dim
        self.is_unit = isinstance(model[-1], Normalize)

    def forward(self, *inputs: Tensor) -> Tensor:
        features: dict[str, Any] = dict(zip(self.names, inputs, strict=True))
        for stage in self.stages:
            features = stage(features)
        vectors = features[OUTPUT].float()
        if self.width is not None and self.width < vectors.shape[1]:
            vectors = vectors[:, : self.width]
            vectors = nn.functional.normalize(vectors, dim=-1) if self.is_unit else vectors
        return vectors


def graph_inputs(model: SentenceTransformer) -> tuple[str, ...]:
    """The tensors that the model reads of a tokenised text, in the order of `INPUTS`.

    raises    ContractError: a model whose pipeline cannot stand in a graph that sees ids and mask only
    """
    kinds = " -> ".join(type(module).__name__ for module in model)
    if not isinstance(model[0], Transformer):
        raise ContractError(f"a graph is made of models that begin with Transformer; this one is {kinds}")
    if any(isinstance(module, Pooling) and not module.include_prompt for module in model) and any(
        model.prompts.values()
    ):
        raise ContractError(
            "this model leaves its prompt out of pooling; a graph sees token ids and cannot tell which of them are the "
            "prompt. Serve it with torch, or train it with include_prompt=True"
        )
    features = model.preprocess(["a text"])
    tensors = {name for name, value in features.items() if isinstance(value, Tensor)}
    if "input_ids" not in tensors or (unknown := tensors - set(INPUTS)):
        raise ContractError(
            f"this model reads {', '.join(sorted(tensors))}; a graph can be made of models that read "
            f"{', '.join(INPUTS)}" + (f", not {', '.join(sorted(unknown))}" if "input_ids" in tensors else "")
        )
    return tuple(name for name in INPUTS if name in tensors)


def write_graph(model: SentenceTransformer, file: Path) -> tuple[str, ...]:
    """Write the graph, with the axes batch and length of any size; returns the names of its inputs.

    model     on the CPU, float32; it is unchanged afterwards
    file      NAME.onnx in an existing folder; weights over 1.8 GB go to NAME.onnx.data
    raises    MissingExtra; ContractError: a model that no graph can hold, with the exporter's own words
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  torch's exporter imports it late, after minutes of work
    except ImportError:
        raise MissingExtra("onnx", "exporting to ONNX") from None

    names = graph_inputs(model)
    # Two rows of unlike length: a graph traced from one row, or from one length, may hold that as a constant.
    ids = torch.full((2, 7), 5, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    example = tuple({"input_ids": ids, "attention_mask": mask}.get(name, torch.zeros_like(ids)) for name in names)
    with _plain_attention(model), _quiet():
        try:
            program = torch.onnx.export(
                Pipeline(model, names).eval(),
                example,
                input_names=list(names),
                output_names=[OUTPUT],
                dynamic_shapes=(tuple({0: "batch", 1: "length"} for _ in names),),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ContractError(
                f"torch cannot turn this model ({type(model[0].model).__name__}) into a graph: "
                f"{str(error).strip().splitlines()[0]}"
            ) from error
        assert program is not None  # only without dynamo
        proto = program.model_proto
    _strip(proto)
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    if size > LARGEST_FILE:
        onnx.save_model(proto, str(file), save_as_external_data=True, location=f"{file.name}.data")
    else:
        onnx.save_model(proto, str(file))
    return names


@contextmanager
def _plain_attention(model: SentenceTransformer) -> Iterator[None]:
    """Attention written out as products and softmax: the graph is half the size, and fuses better in runtimes."""
    network: Any = model[0].model
    before = network.config._attn_implementation
    network.set_attn_implementation("eager")
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.set_attn_implementation(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks of torchvision, of axis names and of its own deprecations; none of it is about the model."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _strip(proto: Any) -> None:
    """Drop what the exporter notes about its own run: stack traces with the paths of this machine."""
    graph = proto.graph
    del proto.metadata_props[:]
    for part in [graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output]:
        del part.metadata_props[:]
        part.doc_string = ""
    for function in proto.functions:
        for part in [function, *function.node]:
            del part.metadata_props[:]
            part.doc_string = ""
