"""A tiny static model, and documents about colours and tools."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

WORDS = ["red", "green", "blue", "hammer", "saw", "drill", "open", "close", "file", "date", "parse", "the", "a", "of"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of verified hashes, away from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def tiny_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes a static model folder: 8 wide, a random vector per word, by seed."""

    def make(seed: int = 0, name: str = "tiny") -> Path:
        folder = tmp_path / f"{name}-{seed}"
        if folder.exists():
            return folder
        (folder / "1_Normalize").mkdir(parents=True)
        table = np.random.default_rng(seed).standard_normal((len(WORDS) + 1, 8)).astype(np.float32)
        save_file({"embedding.weight": table}, str(folder / "model.safetensors"))
        vocabulary = {"[UNK]": 0, **{word: i for i, word in enumerate(WORDS, 1)}}
        tokenizer = {
            "version": "1.0",
            "pre_tokenizer": {"type": "Whitespace"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
        }
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        modules = [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"},
            {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"},
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Normalize" / "config.json").write_text("{}")
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"similarity_fn_name": "cosine"}))
        return folder

    return make


@pytest.fixture
def documents() -> Callable[..., list[dict[str, Any]]]:
    """Makes documents d0, d1, ... with year, kind and tags (some null); texts repeat now and then."""

    def make(count: int, *, seed: int = 0, first: int = 0) -> list[dict[str, Any]]:
        draw = random.Random(seed)
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 8))) for _ in range(max(1, count * 3 // 4))]
        return [
            {
                "id": f"d{first + number}",
                "text": draw.choice(texts),
                "year": draw.choice([None, 2018, 2019, 2020, 2021]),
                "kind": draw.choice(["function", "class"]),
                "tags": draw.sample(["x", "y", "z"], draw.randint(0, 3)),
            }
            for number in range(count)
        ]

    return make
