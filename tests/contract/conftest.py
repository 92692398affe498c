"""Hand-written model folders, so that the contract room is tested without loading a model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

Folder = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of verified hashes, away from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vecsmith" / "verified.json"


@pytest.fixture
def static_folder(tmp_path: Path) -> Folder:
    """Writes the files of a static model of three tokens; options change one thing each."""

    def make(
        name: str = "model",
        *,
        weights: np.ndarray | None = None,
        prompts: dict[str, str] | None = None,
        normalise: bool = True,
        truncate_dim: int | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        table = np.arange(12, dtype=np.float32).reshape(3, 4) if weights is None else weights
        save_file({"embedding.weight": table}, str(folder / "model.safetensors"))
        tokenizer = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "[UNK]": 2}}}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
        if normalise:
            modules.append(
                {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}
            )
            (folder / "1_Normalize").mkdir()
            (folder / "1_Normalize" / "config.json").write_text("{}")
        (folder / "modules.json").write_text(json.dumps(modules))
        settings = {"prompts": prompts or {}, "truncate_dim": truncate_dim, "similarity_fn_name": "cosine"}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
        return folder

    return make
