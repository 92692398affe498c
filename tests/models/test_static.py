"""The numpy encoder of static models against sentence-transformers and against plain Python."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from vecsmith.errors import ContractError, Damaged, Tampered
from vecsmith.models import token_means
from vecsmith.models.encoder import open_encoder
from vecsmith.models.names import resolve_name
from vecsmith.models.static import StaticEncoder

ST_LIMIT = 2e-6


@pytest.fixture(scope="module")
def plain(static_folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(static_folder), device="cpu")


@pytest.fixture(scope="module")
def encoder(static_folder):
    return StaticEncoder.open(static_folder)


def mean_by_hand(folder: Path, text: str) -> list[float]:
    """Token vectors added one by one in Python floats, then divided by their number and length."""
    from tokenizers import Tokenizer

    table = load_file(str(folder / "model.safetensors"))["embedding.weight"].tolist()
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    total = [sum(table[token][place] for token in ids) for place in range(len(table[0]))]
    length = sum(value * value for value in total) ** 0.5
    return [value / length if length else 0.0 for value in total]


def test_it_agrees_with_sums_by_hand(static_folder, encoder, texts):
    vectors = encoder.encode(texts)
    for text, vector in zip(texts, vectors, strict=True):
        assert vector.tolist() == pytest.approx(mean_by_hand(static_folder, text), abs=ST_LIMIT)


def test_it_agrees_with_sentence_transformers_for_every_prompt(encoder, plain, texts):
    for found, expected in [
        (encoder.encode(texts), plain.encode(texts)),
        (encoder.encode_query(texts), plain.encode_query(texts)),
        (encoder.encode_document(texts), plain.encode_document(texts)),
        (encoder.encode(texts, prompt="web"), plain.encode(texts, prompt_name="web")),
    ]:
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= ST_LIMIT
    assert not np.array_equal(encoder.encode_query(texts), encoder.encode_document(texts))


@given(st.lists(st.text(max_size=60), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_agrees_with_sentence_transformers_on_any_text(encoder, plain, inputs):
    inputs = [text.encode("utf-8", "ignore").decode() for text in inputs]
    assert np.abs(encoder.encode(inputs) - plain.encode(inputs)).max() <= ST_LIMIT


def test_texts_longer_than_a_block_are_added_up_in_pieces(encoder, plain, monkeypatch, texts):
    long = ["stone bridge river mill " * count for count in (1, 400, 3, 900)] + texts
    monkeypatch.setattr(token_means, "GATHERED", 64)
    monkeypatch.setattr(token_means, "LONG_GATHERED", 64)
    assert np.abs(encoder.encode(long) - plain.encode(long)).max() <= ST_LIMIT


@pytest.mark.parametrize("activation", ["Identity", "Tanh", "ReLU", "Sigmoid", "GELU"])
def test_stock_dense_modules_are_applied(make_static, texts, activation):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.dense import Dense
    from sentence_transformers.sentence_transformer.modules import Normalize

    torch.manual_seed(1)
    function = getattr(torch.nn, activation)()
    residual = Dense(16, 16, bias=False, activation_function=function, use_residual=True)
    folder = make_static(Dense(24, 16, activation_function=function, use_residual=True), residual, Normalize())
    found = StaticEncoder.open(folder).encode(texts)
    assert found.shape == (len(texts), 16)
    assert np.abs(found - SentenceTransformer(str(folder), device="cpu").encode(texts)).max() <= ST_LIMIT


@pytest.mark.parametrize("left", [False, True])
def test_the_tokenizers_own_limit_is_kept(make_static, texts, left):
    from sentence_transformers import SentenceTransformer

    folder = make_static(cut=6, left=left)
    encoder = StaticEncoder.open(folder)
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert np.abs(encoder.encode(texts) - expected).max() <= ST_LIMIT
    assert encoder.max_length == encoder.contract.space["max_length"] == 6


def test_without_a_limit_passages_are_best_cut_to_256_tokens_and_read_whole(encoder, texts):
    assert encoder.max_length == 256
    assert encoder.token_limit is None
    assert encoder.contract.space["max_length"] is None
    longer = texts[9] + " and then a mill"
    assert not np.array_equal(encoder.encode([texts[9]]), encoder.encode([longer]))


def test_a_cut_vector_is_normalised_again(static_folder, plain, texts):
    cut = StaticEncoder.open(static_folder, truncate_dim=8)
    expected = plain.encode(texts, truncate_dim=8, normalize_embeddings=True)
    assert cut.dimension == cut.contract.width == 8
    assert np.abs(cut.encode(texts) - expected).max() <= ST_LIMIT


def test_a_model_that_does_not_normalise_keeps_lengths(make_static, texts):
    from sentence_transformers import SentenceTransformer

    folder = make_static(truncate_dim=5)
    found = StaticEncoder.open(folder).encode(texts)
    assert np.abs(found - SentenceTransformer(str(folder), device="cpu").encode(texts)).max() <= ST_LIMIT
    assert StaticEncoder.open(folder).contract.view["normalised"] is False


def test_model2vec_tables_are_folded(static_copy, texts):
    from sentence_transformers import SentenceTransformer

    table = load_file(str(static_copy / "model.safetensors"))["embedding.weight"]
    draw = np.random.default_rng(0)
    folded = {
        "embeddings": np.ascontiguousarray(table[:1000]),
        "mapping": draw.integers(0, 1000, len(table)),
        "weights": draw.uniform(0.1, 1, len(table)).astype(np.float32),
    }
    save_file(folded, str(static_copy / "model.safetensors"))
    expected = SentenceTransformer(str(static_copy), device="cpu").encode(texts)
    assert np.abs(StaticEncoder.open(static_copy).encode(texts) - expected).max() <= ST_LIMIT


def test_nothing_in_is_nothing_out(encoder):
    assert encoder.encode([]).shape == (0, 24)
    assert encoder.unknown_share([]) == 0.0
    assert encoder.unknown_share(["", " "]) == 0.0


def test_tokens_and_unknown_tokens_are_counted(encoder):
    assert encoder.count_tokens("the stone bridge") == 3
    assert encoder.count_tokens("") == 0
    assert encoder.unknown_share(["the stone 🪨 bridge"]) == 0.25


def test_a_token_without_a_row_is_damage_not_a_wrong_vector(static_copy):
    table = load_file(str(static_copy / "model.safetensors"))["embedding.weight"]
    save_file({"embedding.weight": table[:500]}, str(static_copy / "model.safetensors"))
    with pytest.raises(Damaged, match="the table has 500 rows; tokenizer and weights are of different models"):
        StaticEncoder.open(static_copy).encode(["the stone bridge"])


def test_weights_under_another_name_are_named(static_copy):
    save_file({"other": np.ones((2, 2), np.float32)}, str(static_copy / "model.safetensors"))
    with pytest.raises(Damaged, match=r"holds other; expected embedding.weight"):
        StaticEncoder.open(static_copy)


def test_a_model_of_other_modules_is_refused(minilm_folder):
    with pytest.raises(
        ContractError, match=r"Transformer -> Pooling -> Normalize, no static model; open it with vs.load"
    ):
        StaticEncoder.open(minilm_folder)


def test_tampered_weights_are_refused(static_folder, tmp_path):
    from vecsmith.models.save import stamp

    folder = Path(shutil.copytree(static_folder, tmp_path / "model"))
    stamp(None, folder)
    assert StaticEncoder.open(folder).contract.name == "model"
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-5] ^= 0x40
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(Tampered, match=r"model.safetensors has sha256"):
        StaticEncoder.open(folder)


def test_the_shipped_model_opens_by_name_and_agrees_with_sentence_transformers(texts):
    from sentence_transformers import SentenceTransformer

    folder = resolve_name("default")
    if not folder.is_dir():
        pytest.skip("the default model is not in this checkout")
    encoder = open_encoder("default")
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert np.abs(encoder.encode(texts) - expected).max() <= ST_LIMIT
    assert (encoder.name, encoder.max_length) == ("default", 256)


def test_opening_and_encoding_load_no_framework(static_folder):
    program = (
        "import sys; from vecsmith.models.encoder import open_encoder\n"
        f"open_encoder({str(static_folder)!r}).encode_query(['a stone bridge'])\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'pandas', 'sklearn', 'scipy', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_weights_are_mapped_not_read(static_folder):
    table = StaticEncoder.open(static_folder)._table
    base = table
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert json.loads((static_folder / "modules.json").read_text())[0]["type"].endswith("StaticEmbedding")
