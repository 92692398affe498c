"""Model folders from elsewhere: code, pickles, flipped bits, files of two models."""

import json
import os
import pickle
import random
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import vecsmith as vs
from vecsmith.errors import ContractError, Damaged, VecsmithError
from vecsmith.models.encoder import open_encoder


@pytest.fixture
def static(static_folder, tmp_path):
    return shutil.copytree(static_folder, tmp_path / "static")


@pytest.fixture
def transformer(transformer_folder, tmp_path):
    return shutil.copytree(transformer_folder, tmp_path / "transformer")


def bare(folder):
    (folder / "embedding.json").unlink()
    return folder


TYPES = [
    "os.system",
    "builtins.eval",
    "torch.nn.Linear",
    "torch.serialization",
    "subprocess.Popen",
    "transformers.AutoModel",
    "eval",
    "",
    ".",
    "..os.system",
    "os.system\n",
    "sentence_transformers",
    "sentence_transformers.os.system",
    "sentence_transformers.util.misc.importlib",
    "sentence_transformers.util.misc.import_from_string",
    "sentence_transformers.base.modules.dense.nn",
    "sentence_transformersx.Evil",
    "vecsmith.cli.main.main",
    "vecsmith.atomic.shutil",
    "vecsmith.models.load.load",
    "vecsmith.errors.VecsmithError",
    "vecsmithx.Module",
    "user--repo.Module",
    "a.b.C",
]


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("place", [0, 1])
def test_a_module_type_outside_the_whitelist_is_refused(static, type, place):
    bare(static)
    modules = json.loads((static / "modules.json").read_text())
    modules[place]["type"] = type
    (static / "modules.json").write_text(json.dumps(modules))
    for door in (open_encoder, vs.load):
        with pytest.raises(ContractError):
            door(static)


@pytest.mark.parametrize(
    "path", ["../x", "/etc", "a/../../x", "..\\x", "\\\\host\\share", "C:\\x", "1_Dense/../..", "\0"]
)
def test_a_module_path_that_leads_out_of_the_folder_is_refused(static, path):
    bare(static)
    modules = json.loads((static / "modules.json").read_text())
    modules[1]["path"] = path
    (static / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(VecsmithError):
        open_encoder(static)


def test_a_router_does_not_bring_modules_of_other_packages_in(static, tmp_path):
    folder = tmp_path / "router"
    folder.mkdir()
    shutil.copytree(static, folder / "query_0")
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.router.Router"}
    (folder / "modules.json").write_text(json.dumps([module]))
    config = {"types": {"query_0": "os.system"}, "structure": {"query": ["query_0"]}, "parameters": {}}
    (folder / "router_config.json").write_text(json.dumps(config))
    with pytest.raises(ContractError, match="cannot be loaded"):
        vs.load(folder)


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


PLACES = [
    "pytorch_model.bin", "model.bin", "1_Dense/pytorch_model.bin", "tokenizer.pkl",
    "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.bin", "model.joblib",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["static", "transformer"])
@pytest.mark.parametrize("with_weights", [True, False])
def test_a_pickle_is_opened_nowhere(kind, with_weights, request, tmp_path):
    folder = bare(request.getfixturevalue(kind))
    for place in PLACES:
        if (folder / place).parent.is_dir():
            (folder / place).write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    if not with_weights:
        for weights in folder.rglob("*.safetensors"):
            weights.unlink()
        with pytest.raises(ContractError, match="a pickle can run code"):
            vs.load(folder)
    else:
        assert np.isfinite(vs.load(folder).encode(["thing a"])).all()
        open_encoder(folder)
    assert not (tmp_path / "boom").exists()


def test_vectors_with_pickled_objects_are_refused(static, tmp_path):
    from vecsmith.models.shards import Shards, encode_to

    encode_to(open_encoder(static), ["thing"], tmp_path / "v")
    file = tmp_path / "v" / "vectors-000000.npy"
    evil = np.array([Bomb(tmp_path / "boom")], dtype=object)
    np.save(file, evil, allow_pickle=True)
    manifest = json.loads((tmp_path / "v" / "manifest.json").read_text())
    manifest["shards"][0]["size"] = file.stat().st_size
    (tmp_path / "v" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Damaged, match=r"vectors-000000.npy cannot be read"):
        Shards.open(tmp_path / "v").array()
    manifest["shards"][0]["file"] = "../other.npy"
    (tmp_path / "v" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Damaged, match="was changed"):
        Shards.open(tmp_path / "v")
    assert not (tmp_path / "boom").exists()


def test_every_flipped_bit_of_a_model_is_refused_by_its_contract(static):
    draw, names = random.Random(0), [p for p in static.rglob("*") if p.is_file() and p.name not in ("embedding.json", "README.md")]  # fmt: skip
    for turn in range(300):
        file = names[turn % len(names)]
        data = bytearray(file.read_bytes())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        whole = file.read_bytes()
        file.write_bytes(data)
        with pytest.raises(VecsmithError):
            open_encoder(static)
        file.write_bytes(whole)
    open_encoder(static)


def test_without_a_contract_a_flip_is_refused_or_gives_finite_vectors_of_the_same_width(static):
    bare(static)
    file, draw = static / "model.safetensors", random.Random(1)
    whole = file.read_bytes()
    refused = 0
    for turn in range(300):
        data = bytearray(whole)
        place = draw.randrange(8) if turn % 3 == 0 else draw.randrange(8, 100) if turn % 3 == 1 else draw.randrange(len(data))  # fmt: skip
        data[place] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
        try:
            vectors = open_encoder(static).encode_query(["thing 3"])
        except VecsmithError:
            refused += 1
            continue
        assert vectors.shape == (1, 6)
        assert np.isfinite(vectors).all()
    assert refused > 100


HEADERS = {
    "overlapping": lambda h: h["embedding.weight"].update(data_offsets=[4, h["embedding.weight"]["data_offsets"][1]]),
    "backwards": lambda h: h["embedding.weight"].update(data_offsets=[100, 4]),
    "beyond": lambda h: h["embedding.weight"].update(data_offsets=[0, 1 << 40]),
    "negative": lambda h: h["embedding.weight"].update(shape=[-1, 8]),
    "dtype": lambda h: h["embedding.weight"].update(dtype="I32"),
    "half": lambda h: h["embedding.weight"].update(dtype="F16"),
    "unknown dtype": lambda h: h["embedding.weight"].update(dtype="F13"),
    "flat": lambda h: h["embedding.weight"].update(shape=[h["embedding.weight"]["shape"][0] * 8]),
    "gone": lambda h: h.pop("embedding.weight"),
    "a list": lambda h: h.update({"embedding.weight": []}),
}


@pytest.mark.parametrize("change", HEADERS)
def test_a_header_that_does_not_fit_its_bytes_is_refused(static, change):
    bare(static)
    file = static / "model.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    HEADERS[change](header)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises((Damaged, ContractError)):
        open_encoder(static)


@pytest.mark.parametrize("kind", ["static", "transformer"])
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "modules.json", "model.safetensors", "tokenizer_config.json"]
)
@pytest.mark.parametrize("how", ["missing", "empty", "brackets", "list", "cut"])
def test_a_missing_or_broken_file_is_said_in_words(kind, name, how, request):
    folder = bare(request.getfixturevalue(kind))
    file = folder / name
    if not file.is_file():
        return
    data = {"empty": b"", "brackets": b"[" * 100_000, "list": b"[1]", "cut": file.read_bytes()[:-20]}.get(how)
    file.unlink() if data is None else file.write_bytes(data)
    try:
        vectors = open_encoder(folder).encode_query(["a thing"])
    except VecsmithError as error:
        assert str(folder) in str(error)
    else:  # what decides no vector may be missing
        assert name in ("config.json", "tokenizer_config.json")
        assert np.isfinite(vectors).all()


def test_a_tokenizer_of_another_model_is_named_before_or_as_it_is_used(static, transformer):
    for folder in (bare(static), bare(transformer)):
        tensors = load_file(folder / "model.safetensors")
        name = next(name for name in tensors if name.endswith(("embedding.weight", "word_embeddings.weight")))
        tensors[name] = tensors[name][:6]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        if (folder / "config.json").is_file():
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 6}))
        with pytest.raises(Damaged, match=r"of different models|of two models"):
            open_encoder(folder).encode_query(["thing z is number"])


def test_weights_that_no_file_holds_are_refused_instead_of_drawn_at_random(transformer):
    bare(transformer)
    tensors = load_file(transformer / "model.safetensors")
    name = next(name for name in tensors if name.endswith("attention.self.query.weight"))
    tensors[name.replace("query", "queri")] = tensors.pop(name)
    save_file(tensors, transformer / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Damaged, match=r"query.weight .*would be random"):
        vs.load(transformer)
