"""The embedding contract: what made these vectors.

    space    a difference means vectors that cannot be compared: weights, tokenizer, modules, pooling, max length, ...
    view     how vectors of that space are kept: width, normalisation, dtype, prompt used; converted where possible
    record   versions, licence, lineage, files with sizes and hashes: reported, never compared

Lives as `embedding.json` in every model and index.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vecsmith.atomic import write_json
from vecsmith.contract.folder import read_object
from vecsmith.contract.probes import Probes
from vecsmith.errors import ContractError

__all__ = ["FILE_NAME", "Contract"]

FILE_NAME = "embedding.json"
FORMAT = 1


@dataclass(frozen=True)
class Contract:
    """What made these vectors; `space` alone decides the fingerprint.

    space     {"weights", "tokenizer", "modules", "pooling", "max_length", "attention", "prompts"}
    view      {"width", "normalised", "dtype", "similarity", "prompt", "quantiser"}
    record    {"name", "versions", "licence", "lineage", "files": {name: {"size", "sha256"}}}
    probes    vectors of the 16 probe inputs, or None where they were never run
    """

    space: dict[str, Any]
    view: dict[str, Any]
    record: dict[str, Any] = field(default_factory=dict)
    probes: Probes | None = None

    @property
    def fingerprint(self) -> str:
        """12 hex digits of the space: equal for equal spaces, whatever the view."""
        canonical = json.dumps(self.space, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:12]

    @property
    def name(self) -> str:
        """What people call the model; the fingerprint where nobody named it."""
        return str(self.record.get("name") or self.fingerprint)

    @property
    def width(self) -> int:
        """Components of a vector."""
        return int(self.view["width"])

    def seen(self, **view: Any) -> "Contract":
        """The same space kept another way, e.g. `contract.seen(width=64, prompt="document")`."""
        return replace(self, view={**self.view, **view})

    def describe(self) -> str:
        """One line: name, pooling, max length, width."""
        limit = self.space.get("max_length")
        length = f"{limit} tokens" if limit else "any length"
        return f"{self.name}, {self.space.get('pooling')}, {length}, {self.view.get('width')} wide"

    def to_json(self) -> dict[str, Any]:
        """What `embedding.json` holds."""
        return {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "space": self.space,
            "view": self.view,
            "record": self.record,
            "probes": self.probes.to_json() if self.probes else None,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str = FILE_NAME) -> "Contract":
        """The contract a JSON object holds.

        raises    ContractError: a newer format, a missing part, or a fingerprint that is not that of the space
        """
        if value.get("format") != FORMAT:
            raise ContractError(f"{where} has format {value.get('format')!r}, known here is {FORMAT}; upgrade vecsmith")
        try:
            probes = Probes.from_json(value["probes"]) if value.get("probes") else None
            contract = cls(dict(value["space"]), dict(value["view"]), dict(value["record"]), probes)
            if not isinstance(contract.view["width"], int) or contract.width < 1:
                raise ValueError(f"width is {contract.view['width']!r}")
            for name, entry in contract.record.get("files", {}).items():
                if not isinstance(entry["size"], int) or not isinstance(entry["sha256"], str) or ".." in name:
                    raise ValueError(f"file {name} has no size and hash")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContractError(f"{where} is no contract: {type(error).__name__}: {error}") from error
        if value.get("fingerprint") != contract.fingerprint:
            raise ContractError(
                f"{where} says fingerprint {value.get('fingerprint')}, its space has {contract.fingerprint}: the file "
                "was edited. Copy the folder again, or save the model to a new one"
            )
        return contract

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Contract":
        """The contract of a model or index folder.

        raises    ContractError: no `embedding.json`, or not readable
        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise ContractError(
                f"{folder} has no contract ({FILE_NAME}), so nobody can say which vectors it may be mixed with. "
                "A model gets one by vs.load(FOLDER).save(NEW_FOLDER)"
            )
        return cls.from_json(read_object(path, dict), str(path))

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Put `embedding.json` into a folder, atomically."""
        write_json(Path(folder) / FILE_NAME, self.to_json())
