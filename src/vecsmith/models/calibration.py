"""Measure the ranges of a model's components once, and keep them in its contract."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.atomic import new_folder
from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.errors import ContractError, NotEnoughData, UsageError
from vecsmith.models.encode import backend_of, encode_counted
from vecsmith.models.names import PACKAGE_FOLDER
from vecsmith.models.quantise import calibrate, with_ranges
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.models.encoder import Encoder
    from vecsmith.models.model import Model

__all__ = ["Calibrated", "calibrate_folder", "measure"]

Float = NDArray[np.float32]

BLOCK_ROWS = 4_096
FEWEST = 100  # below it the smallest and largest values say little about the next text


@dataclass(frozen=True)
class Calibrated:
    """ranges float32 [2, width], measured on `inputs` vectors; `contract` as it was written."""

    ranges: Float
    inputs: int
    contract: Contract


def measure(
    model: "Model | Encoder | Any",
    inputs: "Iterable[str] | NDArray[Any]",
    *,
    prompt: str | None = None,
    progress: Progress = SILENT,
) -> tuple[Float, int]:
    """Ranges of a model's vectors, float32 [2, width], and how many vectors they were measured on.

    inputs    texts, read once; or vectors float [n, width] of this model
    prompt    role of the texts: "query", "document", a prompt's name, or None for the default
    raises    NotEnoughData: fewer than 100 inputs; UsageError: vectors of another width
    """
    if isinstance(inputs, np.ndarray):
        width = backend_of(model).dimension
        if inputs.ndim != 2 or inputs.shape[1] != width:
            raise UsageError(f"vectors are of shape {inputs.shape}; this model's are {width} wide")
        ranges, count = (calibrate(inputs) if len(inputs) else None), len(inputs)
    else:
        ranges, count = None, 0
        with progress.task("calibrating", total=None, unit="texts") as task:
            for block in _blocks(inputs):
                vectors = encode_counted(backend_of(model), block, prompt=prompt, on_truncation="cut").vectors
                ranges, count = calibrate(vectors, ranges), count + len(block)
                task.advance(len(block))
    if ranges is None or count < FEWEST:
        raise NotEnoughData(f"{count} inputs are too few to measure ranges on; give {FEWEST} or more, best thousands")
    return ranges, count


def calibrate_folder(
    path: str | os.PathLike[str],
    model: "Model | Encoder | Any",
    inputs: "Iterable[str] | NDArray[Any]",
    *,
    output: str | os.PathLike[str] | None = None,
    prompt: str | None = None,
    progress: Progress = SILENT,
) -> Calibrated:
    """Measure ranges and write them into the contract of a model folder; the weights stay as they are.

    path      the model's folder
    model     the same model, loaded
    output    write a copy of the folder with the new contract instead
    raises    as `measure`; ContractError: the folder has no contract, or belongs to an installed package;
              FileExistsError: `output` is there
    """
    folder = Path(path)
    if not (folder / FILE_NAME).is_file():
        raise ContractError(
            f"{folder} has no contract to keep ranges in; save the model first: vs.load(PATH).save(NEW)"
        )
    if output is None and _is_installed(folder):
        raise ContractError(
            f"{folder} belongs to an installed package and is not changed; write a copy: vecsmith calibrate MODEL "
            "TEXTS --output FOLDER, or in Python: model.save(PATH), then calibrate"
        )
    ranges, count = measure(model, inputs, prompt=prompt, progress=progress)
    contract = with_ranges(Contract.read(folder), ranges, count)
    if output is None:
        contract.write(folder)
    else:
        with new_folder(output) as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            contract.write(copy)
    return Calibrated(ranges, count, contract)


def _is_installed(folder: Path) -> bool:
    whole = folder.resolve()
    return PACKAGE_FOLDER in whole.parents or "site-packages" in whole.parts


def _blocks(inputs: Iterable[str]) -> Iterator[list[str]]:
    if isinstance(inputs, str):
        raise UsageError('inputs is one text; pass an iterable of texts: ["..."]')
    stream = iter(inputs)
    while block := list(islice(stream, BLOCK_ROWS)):
        yield block
