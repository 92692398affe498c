"""Packed rows give the vectors and the gradients of padded rows, for every architecture they are used with."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from vecsmith.models.bert_layers import Memory
from vecsmith.models.packed import (
    can_pack,
    layers_of,
    pack,
    packed_attention,
    packed_encode,
    packed_forward,
    unpadded_ids,
)

LIMIT = 2e-6
KINDS = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "modernbert")
lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def models(tmp_path_factory, minilm_folder, small_model):
    return {kind: small_model(tmp_path_factory.mktemp(kind), kind, minilm_folder) for kind in KINDS}


def draw_ids(sizes, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.integers(5, 120, size=size) for size in sizes]


def padded(model, ids, **features):
    """Every text alone: no padding at all, the plainest reference."""
    rows = []
    for each in ids:
        tokens = torch.from_numpy(each)[None]
        found = model({"input_ids": tokens, "attention_mask": torch.ones_like(tokens), **features})
        rows.append(found["sentence_embedding"][0])
    return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=lengths, seed=st.integers(0, 99))
def test_packed_vectors_are_those_of_each_text_alone(models, kind, sizes, seed):
    model, ids = models[kind], draw_ids(sizes, seed)
    with torch.no_grad():
        found = packed_forward(model, ids)["sentence_embedding"]
        expected = padded(model, ids)
    scale = max(1.0, float(expected.abs().max()))
    assert (found - expected).abs().max() <= LIMIT * scale


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
@given(sizes=lengths, seed=st.integers(0, 99))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_quick_way_gives_the_vectors_of_the_stock_layers(models, kind, sizes, seed):
    model, ids = models[kind], draw_ids(sizes, seed)
    layers, memory = layers_of(model), Memory()
    with torch.inference_mode():
        packed_encode(model, draw_ids([40, 3]), layers=layers, memory=memory)  # leaves its values in the memory
        found = packed_encode(model, ids, layers=layers, memory=memory)
        assert (found - packed_forward(model, ids)["sentence_embedding"]).abs().max() <= LIMIT


def test_weights_that_change_are_seen_by_the_quick_way(tmp_path, minilm_folder, small_model):
    model, ids = small_model(tmp_path, "bert", minilm_folder), draw_ids([4, 9])
    with torch.inference_mode():
        before = packed_encode(model, ids, layers=layers_of(model), memory=Memory())
    with torch.no_grad():
        model[0].model.encoder.layer[0].attention.self.query.weight.mul_(3)
    with torch.inference_mode():
        after = packed_encode(model, ids, layers=layers_of(model), memory=Memory())
        assert torch.allclose(after, packed_forward(model, ids)["sentence_embedding"], atol=LIMIT)
    assert not torch.allclose(before, after, atol=1e-3)


def test_hooks_and_foreign_parts_keep_a_model_on_the_stock_layers(tmp_path, minilm_folder, small_model):
    model = small_model(tmp_path, "bert", minilm_folder)
    assert layers_of(model) is not None
    handle = model[0].model.encoder.layer[1].output.register_forward_hook(lambda *arguments: None)
    assert layers_of(model) is None
    handle.remove()
    assert layers_of(model) is not None
    handle = model.register_forward_hook(lambda *arguments: None)
    assert layers_of(model) is None
    handle.remove()

    class Adapter(torch.nn.Linear):
        def forward(self, states):
            return super().forward(states) * 2

    inner = model[0].model.encoder.layer[0].intermediate
    inner.dense = torch.nn.Linear(32, 48)
    assert layers_of(model).layers[0].inner is inner.dense
    inner.dense = Adapter(32, 48)
    assert layers_of(model) is None


def test_other_architectures_have_no_quick_way(models):
    assert layers_of(models["distilbert"]) is None
    assert layers_of(models["modernbert"]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_models_that_agree_with_their_padded_selves_are_packed(models, kind):
    assert can_pack(models[kind])
    assert models[kind][0].model.config._attn_implementation == "sdpa"  # left as it was


def test_a_model_with_its_own_attention_is_not_packed(tmp_path, minilm_folder, small_model):
    assert not can_pack(small_model(tmp_path, "mpnet", minilm_folder))


def test_a_model_whose_positions_go_wrong_is_found_out(tmp_path, minilm_folder, small_model, monkeypatch):
    model = small_model(tmp_path, "roberta", minilm_folder)
    monkeypatch.setattr(model[0], "_infer_flatten_position_offset", lambda: 0)
    assert not can_pack(model)


def test_modules_that_read_single_tokens_are_not_packed(tmp_path, minilm_folder, small_model):
    dense = Dense(32, 8, module_input_name="token_embeddings", module_output_name="token_embeddings")
    assert not can_pack(small_model(tmp_path, "bert", minilm_folder, dense))


@pytest.mark.parametrize("pooling", ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"])
@pytest.mark.parametrize("prompt_length", [None, 2])
def test_every_pooling_agrees_with_and_without_the_prompt(tmp_path, minilm_folder, small_model, pooling, prompt_length):
    modules = (Dense(32, 8), Normalize())
    model = small_model(
        tmp_path, "bert", minilm_folder, *modules, pooling=pooling, include_prompt=prompt_length is None
    )
    ids = draw_ids([3, 9, 9, 4, 17, 3])
    extra = {} if prompt_length is None else {"prompt_length": prompt_length}
    with torch.no_grad():
        found = packed_forward(model, ids, prompt_length=prompt_length)["sentence_embedding"]
        assert (found - padded(model, ids, **extra)).abs().max() <= LIMIT


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_each_text_alone(models, kind):
    model, ids = models[kind], draw_ids([5, 30, 5, 2, 12, 12])
    weights = torch.randn(len(ids), 32, generator=torch.Generator().manual_seed(1))
    grads = []
    for run in (lambda: packed_forward(model, ids)["sentence_embedding"], lambda: padded(model, ids)):
        model.zero_grad()
        (run() * weights).sum().backward()
        grads.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    assert grads[0]
    for name, expected in grads[1].items():
        assert (grads[0][name] - expected).abs().max() <= 2e-5 * max(1.0, float(expected.abs().max())), name


def test_dropout_acts_in_training_mode_and_not_otherwise(tmp_path, minilm_folder, small_model):
    model, ids = small_model(tmp_path, "bert", minilm_folder), draw_ids([4, 4, 9])
    once, again = (packed_forward(model.train(), ids)["sentence_embedding"] for _ in range(2))
    assert not torch.allclose(once, again)
    once, again = (packed_forward(model.eval(), ids)["sentence_embedding"] for _ in range(2))
    assert torch.equal(once, again)


def test_padded_features_give_back_their_ids(minilm_folder):
    model = SentenceTransformer(str(minilm_folder), device="cpu")
    features = model.preprocess(["one", "a longer text about rivers", ""])
    ids = unpadded_ids(features)
    assert [len(each) for each in ids] == features["attention_mask"].sum(dim=1).tolist()
    with torch.no_grad():
        found = packed_forward(model, ids)["sentence_embedding"]
        assert (found - model(features)["sentence_embedding"]).abs().max() <= LIMIT


def test_another_thread_without_a_pack_is_not_touched(models):
    import threading

    model, ids = models["bert"], draw_ids([6, 3, 8])
    expected, found = padded(model, ids), []
    with packed_attention(model[0], pack(ids)):
        worker = threading.Thread(target=lambda: found.append(padded(model, ids)))
        worker.start()
        worker.join()
    assert torch.allclose(found[0], expected, atol=LIMIT)


def test_threads_that_pack_at_the_same_time_do_not_disturb_each_other(models):
    from concurrent.futures import ThreadPoolExecutor

    model = models["roberta"]
    jobs = [draw_ids([3 + number, 20, 7, 7], seed=number) for number in range(4)]

    def run(ids):
        with torch.no_grad():
            return [packed_forward(model, ids)["sentence_embedding"] for _ in range(25)]

    with torch.no_grad():
        expected = [padded(model, ids) for ids in jobs]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(run, jobs), expected, strict=True):
            assert all(torch.allclose(each, right, atol=2e-5) for each in found)
    assert model[0].model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("setting", ["eager", "checkpointing"])
def test_settings_that_packed_rows_cannot_keep_are_respected(tmp_path, minilm_folder, small_model, setting):
    model = small_model(tmp_path, "bert", minilm_folder)
    assert can_pack(model)
    if setting == "eager":
        model[0].model.set_attn_implementation("eager")
    else:
        model[0].model.gradient_checkpointing_enable()
    assert not can_pack(model)


def test_a_pack_keeps_every_token_and_restarts_positions():
    ids = [[7, 8, 9], [5], [3, 4, 6]]
    packed = pack(ids, first_position=2)
    assert packed.input_ids.tolist() == [[5, 7, 8, 9, 3, 4, 6]]
    assert packed.position_ids.tolist() == [[2, 2, 3, 4, 2, 3, 4]]
    assert packed.ends.tolist() == [0, 1, 4, 7]
    assert packed.runs == ((0, 1, 1), (1, 2, 3))
    assert packed.places.tolist() == [1, 0, 2]


@pytest.mark.parametrize("ids", [[], [[1], []]])
def test_a_pack_of_nothing_is_refused(ids):
    with pytest.raises(ValueError, match="one token or more"):
        pack(ids)
