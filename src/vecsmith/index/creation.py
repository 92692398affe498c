"""A new index folder: settings, contract, a copy of the model, and the empty generation 0."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.atomic import new_folder
from vecsmith.errors import UsageError
from vecsmith.index.catalog import Catalog
from vecsmith.index.maker import open_maker, store_model
from vecsmith.index.schema import Schema
from vecsmith.index.tokens import TOKENIZER

if TYPE_CHECKING:
    from vecsmith.contract.contract import Contract
    from vecsmith.models.encoder import Encoder

__all__ = ["create_folder"]

METRICS = ("cosine", "ip")


def create_folder(
    target: Path,
    model: Any,
    schema: "Mapping[str, object] | Schema | None",
    *,
    lexical: bool,
    dense: bool | None,
    width: int | None,
    metric: str | None,
    precision: str = "float32",
) -> "Encoder | None":
    """Write the folder whole or not at all, and return the model's encoder; arguments as in `Index.create`."""
    dense = dense if dense is not None else model is not None or width is not None
    if not lexical and not dense:
        raise UsageError("an index needs a dense side (model or width), a lexical side, or both")
    encoder = open_maker(model) if model is not None and dense else None
    contract = encoder.contract if encoder is not None else None
    metric = metric or _metric_of(contract)
    if metric not in METRICS:
        raise UsageError(f'metric is "{metric}"; known: {", ".join(METRICS)}')
    if precision != "float32":
        contract = _of_codes(contract, encoder, metric, precision)
    settings: dict[str, Any] = {
        "schema": None if schema is None else Schema.of(schema).to_json(),
        "lexical": lexical,
        "tokenizer": TOKENIZER,
        "dense": dense,
        "width": encoder.dimension if encoder is not None else width,
        "metric": metric,
        "precision": precision,
        "model": None,
        "defaults": {"mode": None, "weight": None},
    }
    try:
        with new_folder(target) as folder:
            for room in ("segments", "tombstones"):
                (folder / room).mkdir()
            if encoder is not None and contract is not None:
                settings["model"] = store_model(encoder, model, folder)
                contract.write(folder)
            Catalog(folder).create(settings, contract.to_json() if contract is not None else None)
    except FileExistsError:
        raise UsageError(f"{target} exists already; open it with Index.open, or name a new folder") from None
    return encoder


def _of_codes(contract: "Contract | None", encoder: "Encoder | None", metric: str, precision: str) -> "Contract":
    """The contract of vectors that are stored as int8 codes by the model's stored ranges.

    raises   UsageError: another precision, no model, or cosine with a model whose vectors have lengths; ContractError:
             the model has no ranges
    """
    from vecsmith.models.quantise import stored_quantiser

    if precision != "int8":
        raise UsageError(f'precision is "{precision}"; an index stores float32 or int8')
    if contract is None or encoder is None:
        raise UsageError("int8 needs a model: its contract holds the ranges. Leave precision out, or pass model=")
    if metric == "cosine" and not contract.view.get("normalised"):
        raise UsageError(
            'the model\'s ranges are of vectors with lengths, and cosine stores them at length 1; pass metric="ip", or '
            "a model that normalises"
        )
    quantiser = stored_quantiser(contract, precision, encoder.dimension)
    return contract.seen(quantiser=quantiser.to_json(), width=quantiser.width)


def _metric_of(contract: "Contract | None") -> str:
    """Inner product only for a model that asks for it and whose vectors have lengths."""
    if contract is None or contract.view.get("normalised"):
        return "cosine"
    return "ip" if contract.view.get("similarity") == "dot" else "cosine"
