"""The int8 form of a model, built once on this machine and kept in the user's cache folder."""

import hashlib
import logging
import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vecsmith import __version__
from vecsmith.contract.cache import cache_folder
from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.describe import contract_of
from vecsmith.contract.folder import read_model_folder
from vecsmith.contract.hashes import verify_files
from vecsmith.errors import MissingExtra, Tampered, UsageError
from vecsmith.models.names import resolve_name

__all__ = ["int8_folder"]

log = logging.getLogger("vecsmith")


def int8_folder(name_or_path: str | os.PathLike[str], *, trust_remote_code: bool = False) -> Path:
    """The folder of a model's int8 form: found in the cache, else exported there, which takes a minute.

    The cache holds one folder per model, processor kind and versions of vecsmith, torch, onnx and onnxruntime. A folder
    that was changed since is built again.
    raises    MissingExtra; UsageError: a static model; ParityFailed, ContractError, as `export_onnx`
    """
    from vecsmith.models.export.int8 import has_wide_sums
    from vecsmith.models.export.onnx import export_onnx
    from vecsmith.models.onnx_files import is_onnx

    source = resolve_name(name_or_path)
    if is_onnx(source):
        return _as_it_is(source)
    if read_model_folder(source).modules[0].kind == "StaticEmbedding":
        raise UsageError(f"{source} is a static model: it looks vectors up and multiplies none; leave dtype out")
    contract = Contract.read(source) if (source / FILE_NAME).is_file() else contract_of(source)
    key = "-".join([contract.fingerprint, "8" if has_wide_sums() else "7", _versions()])
    target = cache_folder() / "int8" / key
    if target.is_dir():
        try:
            verify_files(target, Contract.read(target).record["files"])
        except Tampered:
            shutil.rmtree(target)
        else:
            return target
    log.info("building the int8 form of %s once, in %s", contract.name, target)
    try:
        export_onnx(name_or_path, target, dtype="int8", trust_remote_code=trust_remote_code)
    except (UsageError, OSError):
        if not (target / FILE_NAME).is_file():  # else another process was faster, and its folder is as good
            raise
    return target


def _as_it_is(source: Path) -> Path:
    """An exported folder that is int8 already."""
    contract = Contract.read(source) if (source / FILE_NAME).is_file() else None
    if contract is None or contract.view["dtype"] != "int8":
        raise UsageError(
            f"{source} is an ONNX model in float32; export the int8 form from the model it was made of: vecsmith "
            "export MODEL --to onnx --dtype int8 --output DIR"
        )
    return source


def _versions() -> str:
    found = [f"vecsmith {__version__}"]
    for name in ("torch", "onnx", "onnxscript", "onnxruntime"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            raise MissingExtra("onnx", "int8") from None
    return hashlib.sha256(", ".join(found).encode()).hexdigest()[:8]
