"""How good a model is after fewer layers and at fewer components: a judge's figure for every (layer, width)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.errors import UsageError
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["LayerGrid", "layer_grid"]

Float = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Float]


@dataclass(frozen=True)
class LayerGrid:
    """What a judge found.

    layers, widths   rows and columns
    found            (layer, width) -> what the judge returned: a number, or one per query
    """

    layers: tuple[int, ...]
    widths: tuple[int, ...]
    found: dict[tuple[int, int], NDArray[np.float64]] = field(repr=False)

    def __getitem__(self, cell: tuple[int, int]) -> float:
        """The figure of a layer and a width: the mean where the judge returned one number per query."""
        return float(self.found[cell].mean())

    def __str__(self) -> str:
        """A table, a line per layer.

        >>> cells = {(1, 8): np.array([0.25]), (2, 8): np.array([0.5, 1.0])}
        >>> print(LayerGrid((1, 2), (8,), cells))
        layer      8
            1  0.250
            2  0.750
        """
        rows = [["layer", *(str(width) for width in self.widths)]]
        rows += [[str(layer), *(f"{self[layer, width]:.3f}" for width in self.widths)] for layer in self.layers]
        return "\n".join(f"{row[0]:>5}" + "".join(f"{each:>7}" for each in row[1:]) for row in rows)


def layer_grid(
    model: "SentenceTransformer",
    judge: Callable[[Encode], float | ArrayLike],
    *,
    layers: Sequence[int] | None = None,
    widths: Sequence[int] | None = None,
    prompt: str = "",
    progress: Progress = SILENT,
) -> LayerGrid:
    """Judge a transformer after each layer and at each width; every list of texts is encoded once for all of them.

    judge     called once per cell with a function texts -> float32 [n, width] of unit vectors; returns a figure, or an
              array of one per query
    layers    each 1..N; all where None
    widths    each 1..d; d, d/2, d/4, ... to 8 where None
    prompt    put before every text
    raises    UsageError: a static model, or a layer or width it has not
    """
    from vecsmith.models.layers import layer_stack, layer_vectors

    depth, width = len(layer_stack(model)), int(model.get_embedding_dimension() or 0)
    rows = tuple(layers) if layers is not None else tuple(range(1, depth + 1))
    columns = tuple(widths) if widths is not None else _halves(width)
    for name, given, most in (("layer", rows, depth), ("width", columns, width)):
        for each in given:
            if not 1 <= each <= most:
                raise UsageError(f"{name} {each} is none of this model; it has 1 to {most}")
    kept: dict[tuple[str, ...], Float] = {}

    def encode(texts: Sequence[str]) -> Float:
        key = tuple(texts)
        if key not in kept:
            kept[key] = layer_vectors(model, texts, rows, prompt=prompt).numpy()
        return kept[key]

    found = {}
    with progress.task("judging layers and widths", total=len(rows) * len(columns)) as task:
        for place, layer in enumerate(rows):
            for cut in columns:
                value = judge(lambda texts, place=place, cut=cut: _unit(encode(texts)[place, :, :cut]))  # type: ignore[misc]
                found[layer, cut] = np.atleast_1d(np.asarray(value, dtype=np.float64))
                task.advance()
    return LayerGrid(rows, columns, found)


def _halves(width: int) -> tuple[int, ...]:
    """width, width / 2, ... down to 8, at least the width itself."""
    found = [width]
    while found[-1] // 2 >= 8:
        found.append(found[-1] // 2)
    return tuple(found)


def _unit(vectors: Float) -> Float:
    result: Float = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return result
