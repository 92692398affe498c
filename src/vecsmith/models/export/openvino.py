"""A model folder to an OpenVINO folder: the ONNX graph converted, weights kept in float32, checked like the former."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from vecsmith.atomic import new_folder
from vecsmith.contract.hashes import hash_files
from vecsmith.errors import MissingExtra, ParityFailed
from vecsmith.models.export.onnx import ExportedModel, checked_target, read_reference, write_side_files
from vecsmith.progress import SILENT, Progress

__all__ = ["export_openvino"]


def export_openvino(
    name_or_path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    replace_folder: bool = False,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> ExportedModel:
    """Write a model as a folder for OpenVINO: `openvino_model.xml` and `.bin`, tokenizer, `embedding.json`.

    name_or_path, replace_folder    as in `export_onnx`
    raises    ParityFailed: vectors differ from the model's by more than 1e-5, nothing is written; MissingExtra;
              ContractError: a model no graph can hold; UsageError: the folder exists
    """
    openvino = _runtime()
    from vecsmith.models.export.checks import check_export, reference_vectors
    from vecsmith.models.export.graph import write_graph
    from vecsmith.models.openvino_encoder import OpenVinoEncoder

    target = checked_target(Path(output), replace_folder)
    with progress.task("loading the model", total=None):
        model, contract = read_reference(name_or_path, trust_remote_code)
    expected = reference_vectors(model)
    with new_folder(target, replace=replace_folder) as folder:
        with progress.task("writing the graph", total=None), tempfile.TemporaryDirectory(dir=folder) as aside:
            write_graph(model, Path(aside) / "model.onnx")
            converted = openvino.convert_model(str(Path(aside) / "model.onnx"))
            openvino.save_model(converted, str(folder / "openvino_model.xml"), compress_to_fp16=False)
            del converted  # it maps the file in the temporary folder
        write_side_files(model, contract, folder)
        version = openvino.get_version().partition("-")[0]
        record: dict[str, Any] = {
            **contract.record,
            "versions": {**contract.record.get("versions", {}), "openvino": version},
        }
        written = replace(contract, record=record)
        written.write(folder)
        encoder = OpenVinoEncoder.open(folder, verify=False)
        with progress.task("comparing with the model", total=None):
            report = check_export(expected, encoder, model=contract.name, target="openvino", dtype="float32")
        if not report.same:
            raise ParityFailed(
                f"the exported graph gives other vectors than {contract.name} (largest difference {report.worst:.2g}, "
                f"allowed {report.tolerance:.0e}); nothing was written. openvino {version}",
                report=report,
            )
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "embedding.json")
        record["files"] = hash_files(folder, names)
        written = replace(written, record=record)
        written.write(folder)
    return ExportedModel(target, written, report)


def _runtime() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import openvino
    except ImportError:
        raise MissingExtra("openvino", "exporting to OpenVINO") from None
    return openvino
