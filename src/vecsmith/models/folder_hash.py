"""What a folder of weights is, whatever its name and place."""

import hashlib
from pathlib import Path

from vecsmith.contract.hashes import file_hash
from vecsmith.errors import ContractError

__all__ = ["folder_fingerprint"]

PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model")
LEFT_OUT = ("embedding.json",)  # names versions and dates


def folder_fingerprint(folder: Path) -> str:
    """32 hex digits over names and contents of weights, configs and tokenizer files, subfolders too.

    raises    ContractError: no safetensors there
    """
    files = sorted({path for pattern in PATTERNS for path in folder.rglob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in files):
        raise ContractError(f"{folder} has no safetensors; pickled weights can run code, so they are refused")
    digest = hashlib.sha256()
    for path in files:
        if path.name not in LEFT_OUT:
            digest.update(f"{path.relative_to(folder).as_posix()} {file_hash(path)}\n".encode())
    return digest.hexdigest()[:32]
