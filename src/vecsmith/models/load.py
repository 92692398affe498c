"""Open a model by path or name, and refuse what could run code or mix up spaces.

Importing this module loads no torch; the class `Model` is fetched when first asked for.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.folder import ModelFolder, ModuleEntry, read_model_folder
from vecsmith.contract.hashes import verify_files
from vecsmith.contract.probes import Probes, check_once
from vecsmith.errors import ContractError, UsageError
from vecsmith.models.encode import TRUNCATION, encode
from vecsmith.models.names import resolve_name
from vecsmith.models.onnx_files import is_onnx, is_openvino

if TYPE_CHECKING:
    from vecsmith.models.model import Model

__all__ = ["Model", "check_folder", "load", "resolve_name"]

DTYPES = ("float32", "bfloat16", "auto", "int8")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib")


def load(
    name_or_path: str | os.PathLike[str],
    *,
    trust_remote_code: bool = False,
    device: str | None = None,
    dtype: str = "float32",
    truncate_dim: int | None = None,
    on_truncation: str = "warn",
    verify: bool = True,
    **options: Any,
) -> "Model":
    """A model: a SentenceTransformer with `contract`, `encode_to` and `on_truncation`.

    name_or_path       a folder (any PathLike), "default", a name of names.toml such as "all-MiniLM-L6-v2", "hub:NAME"
    trust_remote_code  run module code that lies in the folder itself; never needed for stock modules
    device             "cpu", "cuda", ...; by default the fastest there is
    dtype              how it computes: "float32"; "bfloat16"; "auto", which measures once per machine and takes
                       bfloat16 where it is faster and keeps directions (cosine 0.9995 or more), and says so; "int8",
                       the products in 8 bits by onnxruntime on the CPU: faster, another view of the same space, with a
                       small loss; built once per machine, encoding only
    truncate_dim       keep the first components of each vector, normalised again where the model normalises
    on_truncation      what encoding does about inputs that are too long: "warn", "error" or "chunk"
    verify             check files, and once per machine vectors, against the folder's contract, where it has one
    options            SentenceTransformer's other arguments, e.g. prompts, model_kwargs
    raises             UsageError: unknown name; MissingExtra: its package is missing; ContractError: no model folder,
                       modules from elsewhere, pickled weights; Tampered: files are not those of the contract
    """
    if on_truncation not in TRUNCATION:
        raise UsageError(f'on_truncation is "{on_truncation}"; known: {", ".join(TRUNCATION)}')
    if dtype not in DTYPES:
        raise UsageError(f'dtype is "{dtype}"; known: {", ".join(DTYPES)}')
    folder = resolve_name(name_or_path)
    if dtype == "int8" or is_onnx(folder) or is_openvino(folder):
        return _load_onnx(name_or_path, dtype, trust_remote_code, truncate_dim, on_truncation, verify, options)
    check_folder(read_model_folder(folder), trust_remote_code=trust_remote_code)
    contract = Contract.read(folder) if verify and (folder / FILE_NAME).is_file() else None
    if contract is not None:
        verify_files(folder, contract.record.get("files", {}))
    from vecsmith.models.model import Model

    model = Model.from_folder(
        folder,
        on_truncation=on_truncation,
        trust_remote_code=trust_remote_code,
        device=device,
        truncate_dim=truncate_dim,
        local_files_only=True,
        **options,
    )
    # Options such as prompts or another dtype are meant to change vectors, so only a plain load is probed.
    if contract is not None and contract.probes is not None and truncate_dim is None and not options:
        _check_probes(model, folder, contract, contract.probes)
    model.compute_in(dtype)
    return model


def _load_onnx(
    name_or_path: str | os.PathLike[str],
    dtype: str,
    trust_remote_code: bool,
    truncate_dim: int | None,
    on_truncation: str,
    verify: bool,
    options: dict[str, Any],
) -> "Model":
    """An exported folder, or the int8 form of a model, as a Model."""
    from vecsmith.models.encoder import runtime_encoder

    if options:
        raise UsageError(f"{', '.join(options)}: an ONNX graph is fixed; only truncate_dim and on_truncation change it")
    if dtype == "int8":
        from vecsmith.models.export.cached import int8_folder

        folder = int8_folder(name_or_path, trust_remote_code=trust_remote_code)
    else:
        folder = resolve_name(name_or_path)
    encoder = runtime_encoder(folder, dtype=dtype, on_truncation=on_truncation, verify=verify)
    from vecsmith.models.onnx_model import OnnxModel

    return OnnxModel.from_encoder(encoder, truncate_dim=truncate_dim)


def _check_probes(model: "Model", folder: Path, contract: Contract, probes: Probes) -> None:
    """Run the contract's probes at the first load on this machine, and after a change of versions or device."""
    import tokenizers
    import torch
    import transformers

    versions = (f"torch {torch.__version__}", f"transformers {transformers.__version__}", f"{tokenizers.__version__}")
    check_once(
        lambda texts, role: encode(model, texts, prompt=role, on_truncation="cut"),
        probes,
        folder=folder,
        fingerprint=contract.fingerprint,
        versions=(*versions, model.device.type),
        dtype=str(model.dtype).removeprefix("torch."),
    )


def check_folder(model: ModelFolder, *, trust_remote_code: bool = False) -> None:
    """Refuse a folder whose modules or weights could run code.

    raises    ContractError, with what to do
    """
    for entry in model.modules:
        _check_module(model, entry, trust_remote_code)
        # A module that has a folder of its own, or routes to others, may keep weights anywhere below it.
        deep = bool(entry.path) or entry.kind in ("Router", "Asym")
        for folder in sorted({path.parent for path in (model.path / entry.path).rglob("*")} if deep else ()):
            _check_weights(folder)
        _check_weights(model.path / entry.path)


def _check_module(model: ModelFolder, entry: ModuleEntry, trusted: bool) -> None:
    if entry.is_stock or entry.type.startswith("vecsmith."):
        return
    source = model.path / f"{entry.type.split('.')[0]}.py"
    if "--" in entry.type or entry.type.count(".") != 1 or not source.is_file():
        raise ContractError(
            f'{model.path}/modules.json names the module "{entry.type}", which is neither of sentence_transformers or '
            "vecsmith nor a file of the folder; code from elsewhere is never run"
        )
    if not trusted:
        raise ContractError(
            f'{model.path}: the module "{entry.type}" is code in the folder ({source.name}), which loading would run. '
            "Read it; if you trust it, pass trust_remote_code=True"
        )


def _check_weights(folder: Path) -> None:
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles and not any(folder.glob("*.safetensors")):
        raise ContractError(
            f"{folder} has its weights as {pickles[0]}: a pickle can run code when it is opened, so it is refused. "
            "Convert it once, where you trust it: SentenceTransformer(PATH).save(NEW_PATH) writes safetensors"
        )


def __getattr__(name: str) -> Any:
    if name == "Model":
        from vecsmith.models.model import Model

        return Model
    raise AttributeError(f"module 'vecsmith.models.load' has no attribute {name!r}")
