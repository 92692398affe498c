"""vecsmith: make, judge, search and serve embeddings.

Public names are loaded on first use (PEP 562), so `import vecsmith` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "vecsmith.data.dataset",
    "Index": "vecsmith.index.index",
    "compare": "vecsmith.contract.compare",
    "evaluate": "vecsmith.evaluation.evaluate",
    "field": "vecsmith.index.where",
    "forge": "vecsmith.forging.run",
    "load": "vecsmith.models.load",
    "mine": "vecsmith.models.mining",
    "parity": "vecsmith.models.parity",
    "read": "vecsmith.data.read",
    "train": "vecsmith.forging.train",
    "write": "vecsmith.data.write",
}

__all__ = [
    "Dataset",
    "Index",
    "compare",
    "evaluate",
    "field",
    "forge",
    "load",
    "mine",
    "parity",
    "read",
    "train",
    "write",
]

if TYPE_CHECKING:
    from vecsmith.contract.compare import compare
    from vecsmith.data.dataset import Dataset
    from vecsmith.data.read import read
    from vecsmith.data.write import write
    from vecsmith.evaluation.evaluate import evaluate
    from vecsmith.forging.run import forge
    from vecsmith.forging.train import train
    from vecsmith.index.index import Index
    from vecsmith.index.where import field
    from vecsmith.models.load import load
    from vecsmith.models.mining import mine
    from vecsmith.models.parity import parity


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'vecsmith' has no attribute {name!r}; public names: {', '.join(__all__)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
