"""An exported OpenVINO folder as an encoder: `OnnxEncoder` with another runtime under it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import Contract
from vecsmith.errors import ContractError, Damaged, MissingExtra
from vecsmith.models.onnx_encoder import OnnxEncoder
from vecsmith.models.onnx_files import OPENVINO_GRAPH, OnnxFiles, exported_files, is_openvino

__all__ = ["OpenVinoEncoder"]


class OpenVinoEncoder(OnnxEncoder):
    """Texts to vectors by an exported OpenVINO folder; everything but the run is that of `OnnxEncoder`."""

    @classmethod
    def find(cls, path: Path) -> OnnxFiles:
        """The graph of a folder.

        raises    ContractError: none there, or no contract
        """
        if not is_openvino(path):
            raise ContractError(
                f"{path} holds no {OPENVINO_GRAPH}; make it: vecsmith export MODEL --to openvino --output DIR"
            )
        return exported_files(path / OPENVINO_GRAPH, Contract.read(path))

    def _start(self, file: Path, threads: int) -> Any:
        try:
            import openvino
        except ImportError:
            raise MissingExtra("openvino", f"reading {file.name}") from None
        # Its default on processors with AMX is bfloat16, which is not what the contract says.
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        try:
            return openvino.Core().compile_model(str(file), "CPU", options)
        except RuntimeError as error:
            raise Damaged(
                f"{file} cannot be opened by OpenVINO: {str(error).strip().splitlines()[0][:300]}. Export the model "
                "again: vecsmith export MODEL --to openvino --output DIR"
            ) from error

    def _given(self, file: Path) -> dict[str, type]:
        return {given.any_name: np.int64 for given in self._session.inputs}

    def _wanted(self, file: Path) -> tuple[str, list[Any]]:
        shape = self._session.outputs[0].partial_shape
        return "sentence_embedding", [each.get_length() if each.is_static else None for each in shape]

    def _call(self, feeds: dict[str, Any]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session(feeds)[self._session.outputs[0]].copy()
        return found

    @staticmethod
    def _version() -> str:
        import openvino

        return f"openvino {openvino.get_version()}"
