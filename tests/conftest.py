"""Shared fixtures: where real data lies, and which tests must say that it is absent."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does

# Time limits per example measure the machine's load, not our code.
settings.register_profile("vecsmith", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vecsmith")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: VECSMITH_DATA, or `shared/data` beside the checkout."""
    folder = Path(os.environ.get("VECSMITH_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets, which are not at {folder}; set VECSMITH_DATA to run this")
    return folder


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """`with serving(encode, fault="") as server`: a local server of embeddings; see `embedding_server.py`."""
    spec = importlib.util.spec_from_file_location("embedding_server", Path(__file__).with_name("embedding_server.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.serving
