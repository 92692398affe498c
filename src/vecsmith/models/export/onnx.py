"""A model folder to an ONNX folder that runs without torch: graph, tokenizer, contract and a page that says how.

The graph is checked against the model before the folder gets its name; where it differs, nothing is left behind.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.atomic import new_folder
from vecsmith.contract.contract import Contract
from vecsmith.contract.hashes import hash_files
from vecsmith.errors import ContractError, MissingExtra, ParityFailed, UsageError
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.contract.parity import ParityReport
    from vecsmith.models.onnx_encoder import OnnxEncoder

__all__ = [
    "DTYPES",
    "ExportedModel",
    "Measure",
    "checked_target",
    "export_onnx",
    "fill_folder",
    "read_reference",
    "write_side_files",
]

DTYPES = ("float32", "int8")
SIDE_FILES = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "sentence_bert_config.json")

Measure = Callable[["SentenceTransformer", Any], dict[str, Any]]


@dataclass(frozen=True)
class ExportedModel:
    """What an export wrote: the folder, its contract, and how near its vectors are to the model's."""

    folder: Path
    contract: Contract
    report: "ParityReport"


def export_onnx(
    name_or_path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    replace_folder: bool = False,
    measure: Measure | None = None,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> ExportedModel:
    """Write a model as a folder for onnxruntime: `model.onnx`, tokenizer, `embedding.json`, README.md.

    name_or_path    a model that begins with a transformer, as `vecsmith.load` takes it
    output          a new folder
    dtype           "float32", or "int8": matrix products in 8 bits, another view of the same space
    replace_folder  exchange an existing export, whole
    measure         (model, encoder) -> what int8 costs on judged tasks, for the contract; without it the contract has
                    what was measured before release, and for other models says that the loss was not measured
    raises          ParityFailed: vectors differ from the model's by more than the tolerance of `dtype` (its `report`
                    has the figures), nothing is written; MissingExtra; ContractError: a model no graph can hold;
                    UsageError: the folder exists, or dtype is not known
    """
    if dtype not in DTYPES:
        raise UsageError(f'dtype is "{dtype}"; an ONNX file is written in {" or ".join(DTYPES)}')
    _require_runtime()
    target = checked_target(Path(output), replace_folder)
    with progress.task("loading the model", total=None):
        model, contract = read_reference(name_or_path, trust_remote_code)
    with new_folder(target, replace=replace_folder) as folder:
        found = fill_folder(model, contract, folder, dtype=dtype, measure=measure, progress=progress)
    return replace(found, folder=target)


def read_reference(
    name_or_path: str | os.PathLike[str], trust_remote_code: bool = False
) -> "tuple[SentenceTransformer, Contract]":
    """The model on the CPU in float32, and its contract with probes."""
    from vecsmith.contract.probes import probe_vectors
    from vecsmith.models.encode import encode
    from vecsmith.models.load import load
    from vecsmith.models.names import known_names

    model = load(name_or_path, device="cpu", trust_remote_code=trust_remote_code).float()
    contract = model.contract
    if name_or_path in known_names():  # the package's folder is called otherwise
        contract = replace(contract, record={**contract.record, "name": str(name_or_path)})
    if contract.probes is None:
        found = probe_vectors(lambda texts, role: encode(model, texts, prompt=role, on_truncation="cut"))
        contract = replace(contract, probes=found)
    return model, contract


def fill_folder(
    model: "SentenceTransformer",
    contract: Contract,
    folder: Path,
    *,
    dtype: str,
    measure: Measure | None = None,
    progress: Progress = SILENT,
) -> ExportedModel:
    """Write and check an export in an existing, empty folder.

    raises    ParityFailed, MissingExtra, ContractError, as `export_onnx`
    """
    from vecsmith.models.export.checks import check_export, reference_vectors
    from vecsmith.models.export.graph import write_graph
    from vecsmith.models.export.int8 import METHOD, has_wide_sums, known_loss, quantise_graph
    from vecsmith.models.onnx_encoder import OnnxEncoder

    expected = reference_vectors(model)
    record: dict[str, Any] = {**contract.record, "versions": _versions(contract)}
    with progress.task("writing the graph", total=None):
        if dtype == "int8":
            bits = 8 if has_wide_sums() else 7
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                write_graph(model, Path(aside) / "model.onnx")
                quantise_graph(Path(aside) / "model.onnx", folder / "model.onnx", bits=bits)
            loss = known_loss(contract.fingerprint, bits)
            record["quantisation"] = {"method": METHOD, "weight_bits": bits, "loss": loss}
        else:
            write_graph(model, folder / "model.onnx")
    write_side_files(model, contract, folder)
    written = replace(contract.seen(dtype=dtype), record=record)
    written.write(folder)
    encoder = OnnxEncoder.open(folder, verify=False)
    with progress.task("comparing with the model", total=None):
        report = check_export(expected, encoder, model=contract.name, target=f"onnx, {dtype}", dtype=dtype)
    if not report.same:
        raise ParityFailed(
            f"the exported graph gives other vectors than {contract.name} (largest difference {report.worst:.2g}, "
            f"allowed {report.tolerance:.0e}); nothing was written. Versions: {', '.join(_runtime_versions())}",
            report=report,
        )
    if measure is not None and dtype == "int8":
        record["quantisation"] = {"method": METHOD, "weight_bits": bits, "loss": measure(model, encoder)}
    _write_readme(written, encoder, folder)
    names = sorted(path.name for path in folder.iterdir() if path.name not in ("embedding.json", "README.md"))
    record["files"] = hash_files(folder, names)
    written = replace(written, record=record)
    written.write(folder)
    return ExportedModel(folder, written, report)


def _require_runtime() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtra("onnx", "exporting to ONNX") from None


def checked_target(target: Path, replace_folder: bool) -> Path:
    """The folder to make.

    raises    UsageError: it exists, or what would be replaced is no export
    """
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if not target.exists():
        return target
    if not replace_folder:
        raise UsageError(f"{target} exists already; give another path, or --force to replace an earlier export")
    if not (target / "embedding.json").is_file():
        raise UsageError(f"{target} is no export (it has no embedding.json), so it is not replaced; give another path")
    return target


def write_side_files(model: "SentenceTransformer", contract: Contract, folder: Path) -> None:
    """Tokenizer and configs, so that a runtime needs nothing from elsewhere."""
    from tokenizers import Tokenizer

    slow: Any = model.tokenizer
    own = getattr(slow, "backend_tokenizer", None)
    if not isinstance(own, Tokenizer):
        raise ContractError(
            f"the tokenizer ({type(slow).__name__}) has no fast form, so it cannot be written as tokenizer.json; "
            "convert it with transformers first"
        )
    tokenizer = Tokenizer.from_str(own.to_str())
    limit = contract.space["max_length"]
    if limit is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(limit, direction=slow.truncation_side)
    if slow.pad_token is None:
        tokenizer.no_padding()
    else:
        side = slow.padding_side
        tokenizer.enable_padding(direction=side, pad_id=slow.pad_token_id, pad_token=slow.pad_token)
    tokenizer.save(str(folder / "tokenizer.json"))
    source: Path | None = getattr(model, "folder", None)
    if source is None:
        return
    listed = json.loads((source / "modules.json").read_text(encoding="utf-8"))
    first = source / listed[0]["path"]
    for file in (*(first / name for name in SIDE_FILES), source / "config_sentence_transformers.json"):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)


def _versions(contract: Contract) -> dict[str, str]:
    found = dict(contract.record.get("versions", {}))
    return {**found, **dict(pair.split(" ") for pair in _runtime_versions())}


def _runtime_versions() -> list[str]:
    return [f"{name} {version(name)}" for name in ("torch", "onnx", "onnxscript", "onnxruntime")]


README = """\
# {name}, for onnxruntime

Space `{fingerprint}`: {described}. Exported by vecsmith in {dtype}.{loss}

`model.onnx` holds the whole pipeline: it reads {inputs}
(int64 [batch, length], any size{limit}) and gives `sentence_embedding`
(float32 [batch, {width}]{unit}).

```python
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")        # cuts and pads as the model expects
session = onnxruntime.InferenceSession("model.onnx")
found = tokenizer.encode_batch(["How do I reset the router?", "Hold the button for ten seconds."])
given = {{
    "input_ids": np.array([each.ids for each in found]),
    "attention_mask": np.array([each.attention_mask for each in found]),
    "token_type_ids": np.array([each.type_ids for each in found]),
}}
wanted = {{each.name for each in session.get_inputs()}}
vectors, = session.run(["sentence_embedding"], {{name: given[name] for name in wanted}})
```
{prompts}
With vecsmith: `vecsmith encode DIR texts.txt --output vectors`, or in Python `vecsmith.load(DIR)`.
"""


def _write_readme(contract: Contract, encoder: "OnnxEncoder", folder: Path) -> None:
    texts = contract.space["prompts"]["texts"]
    listed = "\n".join(f"- {name}: `{json.dumps(text, ensure_ascii=False)}`" for name, text in texts.items())
    limit = contract.space["max_length"]
    page = README.format(
        name=contract.name,
        fingerprint=contract.fingerprint,
        described=contract.describe(),
        dtype=contract.view["dtype"],
        loss="\nWhat int8 costs stands in `embedding.json`, record.quantisation."
        if "quantisation" in contract.record
        else "",
        inputs=", ".join(f"`{name}`" for name in encoder.inputs),
        limit=f", at most {limit} tokens" if limit else "",
        width=contract.width,
        unit=", length 1" if contract.view["normalised"] else "",
        prompts=f"\nPut before a text of each kind:\n\n{listed}\n" if listed else "",
    )
    (folder / "README.md").write_text(page, encoding="utf-8")
