"""Features as Hugging Face `datasets` keeps them in Arrow and parquet: which numbers stand for which classes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["class_names", "named_classes", "read_description"]

LARGEST_INFO = 64 << 20


def class_names(schema: "pa.Schema", path: Path) -> dict[str, list[str]]:
    """Column -> names of its classes, of the columns that are a ClassLabel or a list of them.

    The features stand in the schema, as `datasets` writes it, else in dataset_info.json beside the file.
    """
    features: Any = None
    try:
        metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = metadata["info"]["features"]
    except (ValueError, RecursionError, KeyError, TypeError):
        info = path.parent / "dataset_info.json"
        if info.is_file():
            features = read_description(info).get("features")
    found = {}
    for name, feature in features.items() if isinstance(features, Mapping) else ():
        inner = feature.get("feature") if isinstance(feature, Mapping) else feature
        inner = (
            inner if isinstance(inner, Mapping) else feature[0] if isinstance(feature, list) and feature else feature
        )
        if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel" and isinstance(inner.get("names"), list):
            found[name] = [str(each) for each in inner["names"]]
    return found


def named_classes(cells: dict[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Cells with the names of classes in the place of their numbers; -1, which stands for no class, as null."""
    for column, classes in names.items():
        if column in cells:
            value = cells[column]
            cells[column] = (
                [_name(each, classes) for each in value] if isinstance(value, list) else _name(value, classes)
            )
    return cells


def _name(value: Any, classes: list[str]) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    return classes[value] if 0 <= value < len(classes) else None if value == -1 else value


def read_description(file: Path) -> dict[str, Any]:
    """The object of a JSON file that describes a data set. DataError: missing, no JSON, over 64 MB."""
    try:
        if file.stat().st_size > LARGEST_INFO:
            raise DataError("over 64 MB, which no description is", file=file)
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("missing. Copy or save the data set again", file=file) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"no JSON ({error}). Copy or save the data set again", file=file) from error
    return found if isinstance(found, dict) else {}
