"""Views: vectors after fewer layers, in one pass, plain and cached, padded and packed, on several architectures."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from vecsmith.data.batch import Batch
from vecsmith.data.columns import RecordColumns
from vecsmith.data.sampler import Draw
from vecsmith.errors import RecipeError, UsageError
from vecsmith.models.packed import can_pack
from vecsmith.objectives.info_nce import info_nce
from vecsmith.objectives.matryoshka import espresso, matryoshka, matryoshka_2d, shallow_layer
from vecsmith.training.collate import Collator, TrainingSet
from vecsmith.training.encoding import EncodedLoss
from vecsmith.training.objective import StageObjective
from vecsmith.training.recipe import load_recipe


def a_batch(model, dataset, rows=24, seed=4):
    collate = Collator([TrainingSet(dataset, RecordColumns(dataset))], model)
    return replace(Batch.from_dict(collate(Draw(0, np.arange(rows), 0))), seed=seed)


def gradients(model, batch, objective, chunk=None):
    model.zero_grad()
    loss = EncodedLoss(model, objective, chunk, views=objective.views)
    value = loss(batch)
    value.backward()
    return value.item(), {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


def assert_equal(here, there, tolerance=1e-6):
    assert here[0] == pytest.approx(there[0], abs=tolerance * 10)
    assert here[1].keys() == there[1].keys()
    for name, gradient in here[1].items():
        assert torch.allclose(gradient, there[1][name], atol=tolerance * max(1.0, float(gradient.abs().max()))), name


TWO_D = [{"matryoshka_2d": {"widths": [4, 8]}}]
ESPRESSO = [{"espresso": {"width": 4}}]
NESTED = [{"matryoshka_2d": {"widths": [12]}}, {"matryoshka": {"widths": [12, 4]}}]


@pytest.fixture
def deep_model(transformer_folder):
    """The random BERT with two more layers, without dropout."""
    return deepened(SentenceTransformer(str(transformer_folder), device="cpu").eval())


def deepened(model, layers=4):
    inner = model[0].model
    torch.manual_seed(1)
    config = type(inner.config).from_dict({**inner.config.to_dict(), "num_hidden_layers": layers})
    model[0].model = type(inner)._from_config(config, attn_implementation="sdpa").eval()
    return model


@pytest.mark.parametrize("wrap", [TWO_D, ESPRESSO, NESTED])
@pytest.mark.parametrize("chunk", [1, 7])
def test_gradient_caching_of_the_stack_gives_the_gradient_of_the_whole_batch(deep_model, dataset, wrap, chunk):
    objective = StageObjective({"retrieval": [{"info_nce": None}]}, wrap)
    batch, deep_model = a_batch(deep_model, dataset), deep_model.double()
    assert_equal(gradients(deep_model, batch, objective), gradients(deep_model, batch, objective, chunk), 1e-8)


def test_with_dropout_the_cached_stack_is_replayed_with_the_same_masks(transformer_folder, dataset):
    model = deepened(SentenceTransformer(str(transformer_folder), device="cpu")).train()
    batch, seen = a_batch(model, dataset), []

    class Watched(StageObjective):
        def __call__(self, queries, documents, batch, *layers):
            return matryoshka_2d(info_nce, queries, documents, batch, *layers, widths=[8])

    objective = Watched({"retrieval": [{"info_nce": None}]}, TWO_D)
    loss = EncodedLoss(model, objective, 7, views=objective.views)
    plain = loss.embed_minibatch
    loss.embed_minibatch = lambda *given, **named: seen.append(out := plain(*given, **named)) or out
    loss(batch).backward()
    half = len(seen) // 2
    for first, again in zip(seen[:half], seen[half:], strict=True):
        assert torch.equal(first[0], again[0])
        assert first[0].shape[0] == 2


def test_packed_rows_give_the_stack_of_padded_rows(deep_model, dataset):
    objective = StageObjective({"retrieval": [{"info_nce": None}]}, TWO_D)
    batch = a_batch(deep_model, dataset)
    assert can_pack(deep_model)
    packed = gradients(deep_model, batch, objective)
    deep_model[0]._vecsmith_can_pack = False
    assert_equal(packed, gradients(deep_model, batch, objective), 5e-6)


def test_the_stack_holds_the_whole_model_and_the_states_that_transformers_reports(deep_model, dataset):
    batch, seen = a_batch(deep_model, dataset), []

    def look(queries, documents, batch, layers):
        seen.append((queries.detach(), layers))
        return info_nce(queries[0], documents[0], batch)

    EncodedLoss(deep_model, look, views=lambda seed, depth: (1, 3))(batch)
    stack, layers = seen[0]
    assert layers == (4, 1, 3)
    features = dict(batch.queries.features)
    states = deep_model[0].model(**{k: features[k] for k in ("input_ids", "attention_mask")}, output_hidden_states=True)
    mask = features["attention_mask"][:, :, None].float()
    for view, layer in zip(stack, layers, strict=True):
        mean = (states.hidden_states[layer] * mask).sum(1) / mask.sum(1)
        assert torch.allclose(view, torch.nn.functional.normalize(mean, dim=1), atol=1e-6)


def test_views_are_seen_before_the_normalize_module_as_the_whole_model_is(deep_model, dataset):
    from vecsmith.training.trainer import keep_vectors_before_normalize

    batch, norms = a_batch(deep_model, dataset), []

    def look(queries, documents, batch, layers):
        norms.append(queries.detach().norm(dim=2))
        return info_nce(queries[0], documents[0], batch)

    hooks = keep_vectors_before_normalize(deep_model)
    EncodedLoss(deep_model, look, views=shallow_layer)(batch)
    for hook in hooks:
        hook.remove()
    assert ((norms[0] - 1).abs() > 0.05).all(dim=1).tolist() == [True, True]


def test_gradient_checkpointing_of_either_kind_gives_the_same_gradient(deep_model, dataset):
    objective = StageObjective({"retrieval": [{"info_nce": None}]}, TWO_D)
    batch, deep_model = a_batch(deep_model, dataset), deep_model.double()
    plain = gradients(deep_model, batch, objective)
    inner = deep_model[0].model.train()  # layers are run again in training mode only
    for module in inner.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
    for reentrant in (False, True):
        inner.gradient_checkpointing_enable({"use_reentrant": reentrant})
        inner.enable_input_require_grads()
        assert_equal(plain, gradients(deep_model, batch, objective), 1e-8)


def test_mixed_precision_reaches_the_modules_after_an_earlier_layer_too(deep_model, dataset):
    """As accelerate does it: the forward pass is cast, what is called around it is not."""
    from sentence_transformers.sentence_transformer.modules import Dense

    deep_model.insert(2, Dense(16, 12))
    batch, seen = a_batch(deep_model, dataset), []

    def look(queries, documents, batch, layers):
        seen.append(queries.detach())
        return info_nce(queries[0], documents[0], batch)

    loss = EncodedLoss(deep_model, look, views=lambda seed, depth: (2, 3))
    loss(batch)
    plain = deep_model.forward

    def cast(*given, **named):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return plain(*given, **named)

    deep_model.forward = cast
    loss(batch)
    assert seen[1].shape == (3, len(batch.queries), 12)
    assert torch.allclose(seen[0], seen[1].float(), atol=0.05)
    assert not torch.allclose(seen[0][1], seen[1][1].float(), atol=1e-5)


def test_adapters_in_the_layers_are_trained_through_every_view(transformer_folder, dataset):
    from vecsmith.training.adapters import add_adapter

    model = deepened(SentenceTransformer(str(transformer_folder), device="cpu").eval())
    add_adapter(model, {"r": 2, "target_modules": ["query"]})
    objective = StageObjective({"retrieval": [{"info_nce": None}]}, ESPRESSO)
    _, found = gradients(model, a_batch(model, dataset), objective)
    trained = [name for name in found if "lora_B" in name]
    assert len(trained) == 4
    assert all(found[name].any() for name in trained)


def test_no_hook_is_left_on_the_model_after_a_step(deep_model, dataset):
    gradients(deep_model, a_batch(deep_model, dataset), StageObjective({"retrieval": [{"info_nce": None}]}, TWO_D))
    assert not any(module._forward_hooks for module in deep_model.modules())


def test_layers_are_drawn_anew_for_each_batch_and_the_same_for_the_same_seed():
    drawn = [shallow_layer(seed, 4)[0] for seed in range(300)]
    assert drawn == [shallow_layer(seed, 4)[0] for seed in range(300)]
    assert all(70 < drawn.count(layer) < 130 for layer in (1, 2, 3))
    assert set(drawn) == {1, 2, 3}


def test_a_static_model_takes_the_one_dimensional_wrapper_cached_or_not(static_model, dataset):
    objective = StageObjective({"retrieval": [{"info_nce": None}]}, [{"matryoshka": {"widths": [16, 4]}}])
    batch = a_batch(static_model, dataset)
    assert_equal(gradients(static_model, batch, objective), gradients(static_model, batch, objective, 5))


def test_a_static_model_has_no_layers_to_see(static_model):
    objective = StageObjective({"retrieval": [{"info_nce": None}]}, TWO_D)
    with pytest.raises(UsageError, match=r"this model has no layers.*take the 1-D matryoshka"):
        EncodedLoss(static_model, objective, views=objective.views)


def test_the_wrapped_objective_of_a_stage_is_the_pure_function(deep_model, dataset):
    batch = a_batch(deep_model, dataset)
    queries, documents = torch.randn(2, len(batch.queries), 16), torch.randn(2, len(batch.documents), 16)
    entries = [{"info_nce": {"temperature": 0.1}}, {"info_nce": {"weight": 0.5}}]
    stage = StageObjective({"retrieval": entries}, NESTED)
    inner = partial(matryoshka, stage._sum, widths=[12, 4])
    assert stage(queries, documents, batch, (4, 2)).value == pytest.approx(
        matryoshka_2d(inner, queries, documents, batch, (4, 2), widths=[12]).value.item()
    )
    one = StageObjective({"retrieval": entries}, [{"espresso": {"width": 4}}])
    assert one(queries, documents, batch, (4, 2)).value == pytest.approx(
        espresso(one._sum, queries, documents, batch, (4, 2), width=4).value.item()
    )


def test_numbers_of_a_wrapper_follow_their_schedules(static_model, dataset):
    batch = replace(a_batch(static_model, dataset), progress=0.5)
    vectors = torch.randn(len(batch.queries), 16), torch.randn(len(batch.documents), 16)
    weights = [1.0, {"from": 0.0, "to": 4.0}]
    stage = StageObjective(
        {"retrieval": [{"info_nce": None}]}, [{"matryoshka": {"widths": [16, 4], "weights": weights}}]
    )
    assert (
        stage(*vectors, batch).value == matryoshka(info_nce, *vectors, batch, widths=[16, 4], weights=[1.0, 2.0]).value
    )


def test_a_wrapper_of_views_must_stand_first():
    with pytest.raises(RecipeError, match="matryoshka_2d draws layers, so it must stand first in wrap, and only once"):
        StageObjective({"retrieval": [{"info_nce": None}]}, list(reversed(NESTED)))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("wrap: [{matryoshka: {widths: [8, 4], wights: [1, 1]}}]", 'unknown key "wights" in matryoshka; did you mean'),
        ("wrap: [{matryoska: {widths: [8]}}]", '"matryoska" is no name of objectives; did you mean "matryoshka"'),
        ("wrap: [info_nce]", "info_nce is an objective; name it in the stage's objective"),
        ("wrap: [{matryoshka: {widths: [8], weight: 2}}]", 'unknown key "weight" in matryoshka'),
    ],
)
def test_a_fault_in_wrap_is_named_with_its_line(write_recipe, recipe_text, line, words):
    with pytest.raises(RecipeError, match=f"recipe.yaml, line 7: {words}"):
        load_recipe(write_recipe(recipe_text.replace("    train:", f"    {line}\n    train:")))


def test_a_wrapper_named_as_an_objective_is_refused(write_recipe, recipe_text):
    with pytest.raises(RecipeError, match="line 6: matryoshka wraps objectives; name it in wrap"):
        load_recipe(write_recipe(recipe_text.replace("{info_nce: {temperature: 0.05}}", "{matryoshka: {widths: [8]}}")))
