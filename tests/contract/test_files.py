"""Hashes of files and tensors: tampering is found, and looked for once per machine."""

import json
import os
import random
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from vecsmith.contract import hashes
from vecsmith.contract.describe import contract_of
from vecsmith.contract.hashes import verify_files
from vecsmith.contract.tensors import hash_tensors, map_tensors, read_header
from vecsmith.errors import Damaged, Tampered


def settle(folder):
    """Make files look old enough to be remembered."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 60, time.time() - 60))


def test_changed_bytes_of_equal_size_are_found_and_named(static_folder):
    folder = static_folder()
    files = contract_of(folder).record["files"]
    verify_files(folder, files)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(
        Tampered, match=r"not the model that its embedding.json.*model.safetensors has sha256.*Copy the model again"
    ):
        verify_files(folder, files)


def test_missing_and_longer_files_are_both_named(static_folder):
    folder = static_folder()
    files = contract_of(folder).record["files"]
    (folder / "tokenizer.json").unlink()
    with open(folder / "modules.json", "a") as file:
        file.write(" ")
    with pytest.raises(Tampered, match=r"modules.json has .* bytes, not .*tokenizer.json is missing"):
        verify_files(folder, files)


def test_a_file_is_hashed_once_per_machine(static_folder, monkeypatch, own_cache):
    folder = static_folder()
    files = contract_of(folder).record["files"]
    settle(folder)
    verify_files(folder, files)
    assert str(folder / "model.safetensors") in json.loads(own_cache.read_text())
    monkeypatch.setattr(hashes, "file_hash", lambda path: pytest.fail(f"{path} was hashed again"))
    verify_files(folder, files)


def test_a_file_changed_since_is_hashed_again(static_folder):
    folder = static_folder()
    files = contract_of(folder).record["files"]
    settle(folder)
    verify_files(folder, files)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    with pytest.raises(Tampered):
        verify_files(folder, files)


def test_a_file_changed_this_moment_is_not_remembered(static_folder, own_cache):
    folder = static_folder()
    verify_files(folder, contract_of(folder).record["files"])
    assert not own_cache.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"/x": 3}', "\x00"])
def test_a_broken_cache_counts_as_nothing_verified(static_folder, own_cache, content):
    folder = static_folder()
    files = contract_of(folder).record["files"]
    settle(folder)
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text(content)
    verify_files(folder, files)
    assert str(folder / "model.safetensors") in json.loads(own_cache.read_text())


def test_a_cache_that_cannot_be_written_stops_nobody(static_folder, tmp_path, monkeypatch):
    folder = static_folder()
    settle(folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    verify_files(folder, contract_of(folder).record["files"])


def test_mapped_tensors_are_those_of_the_safetensors_library(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        "b.weight": rng.normal(size=(3, 5)).astype(np.float32),
        "a": np.arange(4),
        "h": np.ones((2, 1), np.float16),
    }
    save_file(tensors, str(tmp_path / "x.safetensors"))
    mapped, loaded = map_tensors(tmp_path / "x.safetensors"), load_file(str(tmp_path / "x.safetensors"))
    assert sorted(mapped) == sorted(loaded)
    for name, values in loaded.items():
        assert mapped[name].dtype == values.dtype
        assert np.array_equal(mapped[name], values)
        with pytest.raises(ValueError, match="read-only"):
            mapped[name][...] = 0


def test_the_hash_of_tensors_forgets_order_and_metadata_but_no_value(tmp_path):
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_file({"w": table, "b": table[0]}, str(tmp_path / "a.safetensors"))
    save_file({"b": table[0], "w": table}, str(tmp_path / "b.safetensors"), metadata={"format": "pt"})
    save_file({"w": table, "b": table[0], "x.position_ids": np.arange(9)}, str(tmp_path / "c.safetensors"))
    save_file({"w": table.reshape(3, 2), "b": table[0]}, str(tmp_path / "d.safetensors"))
    found = [hash_tensors([("", tmp_path / f"{name}.safetensors")]) for name in "abcd"]
    assert found[0] == found[1] == found[2] != found[3]
    assert hash_tensors([("1_Dense", tmp_path / "a.safetensors")]) != found[0]


def test_a_cut_or_scrambled_file_is_damaged_never_a_crash(tmp_path):
    save_file({"w": np.ones((4, 4), np.float32)}, str(tmp_path / "x.safetensors"))
    whole = (tmp_path / "x.safetensors").read_bytes()
    for size in (0, 7, 8, 20, len(whole) - 1):
        (tmp_path / "y.safetensors").write_bytes(whole[:size])
        with pytest.raises(Damaged, match="copy the model again"):
            read_header(tmp_path / "y.safetensors")
    (tmp_path / "y.safetensors").write_bytes((10**12).to_bytes(8, "little") + whole[8:])
    with pytest.raises(Damaged, match="claims 1,000,000,000,000 bytes"):
        read_header(tmp_path / "y.safetensors")
    for turn in range(60):
        draw = random.Random(turn)
        data = bytearray(whole)
        data[draw.randrange(8, len(whole) - 64)] = draw.randrange(256)
        (tmp_path / "y.safetensors").write_bytes(data)
        try:
            map_tensors(tmp_path / "y.safetensors")
        except Damaged:
            continue
