"""The wrappers against slow sums in Python floats, their limits, laws, gradients and errors."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from vecsmith.data.batch import Batch, Block
from vecsmith.errors import UsageError
from vecsmith.objectives.info_nce import info_nce
from vecsmith.objectives.loss import Loss
from vecsmith.objectives.matryoshka import (
    VIEWS,
    all_layers,
    compressed,
    compression,
    espresso,
    feature_divergence,
    matryoshka,
    matryoshka_2d,
)
from vecsmith.objectives.soft_labels import soft_labels


def sample(seed, *, views=None, rows=5, width=12):
    """Vectors [V, U, d], float64, of a batch with a negative a row and teacher scores."""
    rng = torch.Generator().manual_seed(seed)
    shape = () if views is None else (views,)
    queries = torch.randn(*shape, rows, width, generator=rng, dtype=torch.float64)
    documents = torch.randn(*shape, 2 * rows, width, generator=rng, dtype=torch.float64)
    order = torch.arange(rows)
    batch = Batch(
        queries=Block(rows=order, keys=order, labels=torch.full((rows,), -1)),
        documents=Block(
            rows=torch.arange(2 * rows), keys=torch.arange(100, 100 + 2 * rows), labels=torch.full((2 * rows,), -1)
        ),
        query_index=order,
        positives=order[:, None],
        negatives=order[:, None] + rows,
        known=torch.stack([order, order], dim=1),
        weights=torch.ones(rows),
        dataset=torch.zeros(rows, dtype=torch.int64),
        teacher_scores=torch.rand(rows, 2, generator=rng),
        seed=seed,
    )
    return queries, documents, batch


def total(queries, documents, batch):
    """A plain objective whose value says which components it saw."""
    return Loss(queries.sum() + 10 * documents.sum(), {"seen": float(queries.shape[1])})


def slow_divergence(teacher, student, temperature):
    """Row by row in Python floats."""
    found = 0.0
    for one, other in zip(teacher.tolist(), student.tolist(), strict=True):
        wide = [math.exp(x / temperature) for x in one]
        narrow = [math.exp(x / temperature) for x in other]
        for aim, seen in zip(wide, narrow, strict=True):
            share, got = aim / sum(wide), seen / sum(narrow)
            found += share * (math.log(share) - math.log(got))
    return found / len(teacher)


@given(seed=st.integers(0, 1000), widths=st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True))
def test_matryoshka_is_the_weighted_sum_over_cut_vectors_not_divided(seed, widths):
    queries, documents, batch = sample(seed)
    weights = [0.5 + width for width in widths]
    found = matryoshka(info_nce, queries, documents, batch, widths=widths, weights=weights)
    slow = 0.0
    for width, weight in zip(widths, weights, strict=True):
        cut = torch.tensor([row[:width] for row in queries.tolist()], dtype=torch.float64)
        slow += weight * info_nce(cut, documents.index_select(1, torch.arange(width)), batch).value.item()
    assert found.value.item() == pytest.approx(slow, rel=1e-9)


def test_the_whole_width_alone_is_the_objective_itself_and_a_stack_of_one_view_is_its_view():
    queries, documents, batch = sample(3)
    plain = info_nce(queries, documents, batch)
    for given_ in ((queries, documents), (queries[None], documents[None])):
        found = matryoshka(info_nce, *given_, batch, widths=[12])
        assert found.value == plain.value
        assert found.parts == plain.parts


def test_each_width_is_normalised_after_the_cut_so_length_and_later_components_do_not_matter():
    queries, documents, batch = sample(4)
    found = matryoshka(info_nce, queries, documents, batch, widths=[4]).value
    other = torch.cat([queries[:, :4] * 7, torch.randn(5, 8, dtype=torch.float64)], dim=1)
    assert torch.allclose(matryoshka(info_nce, other, documents * 0.1, batch, widths=[4]).value, found)


def test_parts_of_the_widest_keep_their_names_and_others_say_their_width():
    queries, documents, batch = sample(5)
    parts = matryoshka(total, queries, documents, batch, widths=[3, 12, 6]).parts
    assert parts["seen"] == 12
    assert (parts["width_3/seen"], parts["width_6/seen"]) == (3, 6)
    assert parts["width_6/loss"] == pytest.approx(total(queries[:, :6], documents[:, :6], batch).value.item())


def test_the_widest_is_asked_first_whatever_the_order_of_widths():
    queries, documents, batch = sample(5)
    seen = []

    def watched(queries, documents, batch):
        seen.append(queries.shape[1])
        return total(queries, documents, batch)

    matryoshka(watched, queries, documents, batch, widths=[3, 12, 6])
    assert seen == [12, 6, 3]


@pytest.mark.parametrize("revised", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_two_dimensions_are_four_losses_and_the_divergence(revised, temperature):
    queries, documents, batch = sample(6, views=2)
    found = matryoshka_2d(
        info_nce,
        queries,
        documents,
        batch,
        (6, 3),
        widths=[5],
        kl=0.7,
        kl_temperature=temperature,
        revised=revised,
    )

    def loss(view, width):
        return info_nce(queries[view, :, :width], documents[view, :, :width], batch).value.item()

    share = 1 / 3 if revised else 1.0
    factor = temperature * math.log(5) if revised else temperature**2
    both = torch.cat([queries, documents], dim=1)
    divergence = slow_divergence(both[0], both[1], temperature)
    slow = loss(0, 12) + loss(0, 5) + share * (loss(1, 12) + loss(1, 5)) + 0.7 * factor * divergence
    assert found.value.item() == pytest.approx(slow, rel=1e-9)
    assert found.parts["kl"] == pytest.approx(divergence)
    assert (found.parts["layer"], found.parts["width"]) == (3, 5)
    assert {"accuracy", "narrow/accuracy", "shallow/accuracy", "shallow_narrow/loss"} <= found.parts.keys()


def test_the_width_of_a_step_hangs_on_the_seed_alone_and_all_are_drawn():
    queries, documents, batch = sample(7, views=2, width=40)
    drawn = [
        matryoshka_2d(total, queries, documents, replace(batch, seed=seed), (2, 1)).parts["width"]
        for seed in range(200)
    ]
    again = matryoshka_2d(total, queries + 1, documents, replace(batch, seed=17), (2, 1)).parts["width"]
    assert set(drawn) == {8, 16, 32}
    assert again == drawn[17]
    assert all(40 < drawn.count(width) < 95 for width in (8, 16, 32))


def test_one_view_leaves_the_two_losses_of_the_whole_model():
    queries, documents, batch = sample(8)
    found = matryoshka_2d(info_nce, queries, documents, batch, (6,), widths=[5]).value
    assert found == matryoshka(info_nce, queries, documents, batch, widths=[12, 5]).value


def test_the_divergence_is_not_inert_before_normalisation_and_nearly_zero_after_it():
    """BERT-like states: components of size 1, width 128. Of unit vectors the term is a thousandth."""
    rng = torch.Generator().manual_seed(0)
    last, shallow = torch.randn(2, 64, 128, generator=rng).mul(0.5)
    unit = torch.nn.functional.normalize
    before = feature_divergence(last, shallow, 1.0)
    after = feature_divergence(unit(last, dim=1), unit(shallow, dim=1), 1.0)
    assert before > 0.1
    assert after < 0.01
    assert before > 30 * after


def test_a_detached_teacher_gets_no_gradient_of_the_divergence_and_the_student_does():
    for detach in (True, False):
        queries, documents, batch = sample(9, views=2)
        queries.requires_grad_()

        def nothing(queries, documents, batch):
            return Loss(queries.sum() * 0 + documents.sum() * 0)

        matryoshka_2d(nothing, queries, documents, batch, (4, 2), widths=[4], detach_teacher=detach).value.backward()
        assert bool(queries.grad[0].any()) != detach
        assert bool(queries.grad[1].any())


def test_gradients_agree_with_differences_at_every_view():
    queries, documents, batch = sample(10, views=2, rows=3, width=6)
    queries.requires_grad_()
    documents.requires_grad_()
    for wrapper in (
        partial(matryoshka_2d, info_nce, widths=[3], detach_teacher=False, kl_temperature=0.7),
        partial(matryoshka_2d, info_nce, widths=[2, 4], revised=True, detach_teacher=False),
        partial(espresso, info_nce, width=3, detach_teacher=False, compress=0.0),
    ):
        assert gradcheck(lambda q, d, wrapper=wrapper: wrapper(q, d, batch, (4, 2)).value, (queries, documents))
    narrow = partial(matryoshka, info_nce, widths=[6, 2], weights=[1.0, 0.3])
    assert gradcheck(lambda q, d: narrow(q, d, batch).value, (queries[0].detach().requires_grad_(), documents[0]))


def test_the_order_of_texts_changes_nothing():
    queries, documents, batch = sample(11, views=2)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)
    moved = replace(
        batch,
        queries=replace(batch.queries, keys=batch.queries.keys[order]),
        query_index=place[batch.query_index],
    )
    for wrapper in (partial(matryoshka_2d, widths=[5, 7]), partial(espresso, width=5)):
        here = wrapper(info_nce, queries, documents, batch, (4, 2)).value
        there = wrapper(info_nce, queries[:, order], documents, moved, (4, 2)).value
        assert torch.allclose(here, there, atol=1e-9)


def test_espresso_weighs_every_layer_and_divides_their_sum():
    queries, documents, batch = sample(12, views=4)
    layers = (4, *all_layers(0, 4))
    found = espresso(info_nce, queries, documents, batch, layers, width=5, kl=0.5, compress=2.0)
    both = torch.cat([queries, documents], dim=1)

    def loss(view):
        return sum(info_nce(queries[view, :, :k], documents[view, :, :k], batch).value.item() for k in (12, 5))

    slow = 0.0
    for view, index in ((1, 0), (2, 1), (3, 2)):
        aim = compressed(both[view], 5)
        short = both[view, :, :5]
        squares = sum((a - b) ** 2 for a, b in zip(aim.flatten().tolist(), short.flatten().tolist(), strict=True))
        compress = squares / aim.numel() + slow_divergence(aim, short, 1.0)
        each = loss(view) + 2.0 * compress + 0.5 * slow_divergence(both[0], both[view], 1.0)
        slow += each / (1 + math.log(1 + index))
    assert found.value.item() == pytest.approx(loss(0) + slow / 3, rel=1e-9)


def test_the_compressed_target_is_the_projection_on_the_strongest_directions_and_draws_nothing():
    vectors = torch.randn(30, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 0.3
    gram = torch.softmax(vectors.T @ vectors / 12**0.5, dim=1)
    left, strength, _ = torch.linalg.svd(gram)
    torch.manual_seed(5)
    found = compressed(vectors, 12)
    first = torch.rand(1)
    torch.manual_seed(5)
    assert first == torch.rand(1)
    assert torch.allclose(found.abs(), (vectors @ left * strength).abs(), atol=1e-8)  # signs are arbitrary
    assert torch.equal(found, compressed(vectors, 12))


def test_the_compressed_target_passes_no_gradient():
    vectors = torch.randn(10, 6, requires_grad=True)
    compression(vectors, 2, 1.0).backward()
    assert vectors.grad[:, :2].any()
    assert not vectors.grad[:, 2:].any()


def test_nested_wrappers_are_sums_of_sums():
    queries, documents, batch = sample(13, views=2)
    inner = partial(matryoshka, info_nce, widths=[4, 2])
    found = matryoshka_2d(inner, queries, documents, batch, (4, 2), widths=[6], kl=0.0).value
    slow = sum(
        info_nce(queries[view, :, :k], documents[view, :, :k], batch).value for view in (0, 1) for k in (4, 2, 4, 2)
    )
    assert torch.allclose(found, slow)


def test_focal_weights_and_soft_labels_are_taken_at_every_width():
    queries, documents, batch = sample(14, views=2)

    def both(queries, documents, batch):
        hard = info_nce(queries, documents, batch, focal_gamma=0.5, temperature=0.1)
        soft = soft_labels(queries, documents, batch, temperature=0.1, teacher_temperature=0.5)
        return Loss(hard.value + 0.3 * soft.value, {**hard.parts, **soft.parts})

    found = matryoshka_2d(both, queries, documents, batch, (4, 2), widths=[5], kl=0.0)
    slow = sum(both(queries[v, :, :k], documents[v, :, :k], batch).value for v in (0, 1) for k in (12, 5))
    assert torch.allclose(found.value, slow)
    assert "shallow_narrow/agreement" in found.parts


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("wrapper", VIEWS)
def test_a_model_of_one_layer_has_no_shallow_view(wrapper, depth):
    with pytest.raises(UsageError, match=f"a model of {depth} layer has no shallower one; take the 1-D matryoshka"):
        VIEWS[wrapper](0, depth)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"widths": []}, "no widths for vectors of width 12; give some of 1 to 12"),
        ({"widths": [12, 13]}, "width 13 is none of vectors of width 12; widths go from 1 to 12"),
        ({"widths": [0]}, "width 0 is none of vectors of width 12"),
        ({"widths": [4, 4]}, "width 4 stands twice in widths"),
        ({"widths": [4, 2], "weights": [1.0]}, "matryoshka has 2 widths and 1 weights; give one weight per width"),
    ],
)
def test_widths_that_vectors_have_not_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        matryoshka(info_nce, *sample(0), **options)


@pytest.mark.parametrize(
    ("layers", "options", "words"),
    [
        ((4, 2, 1), {}, "2 views and 3 layers; each view has its layer, the whole model first"),
        ((4, 2), {"kl_temperature": 0.0}, "kl_temperature is 0.0; it divides components and must be above 0"),
    ],
)
def test_views_without_their_layers_are_refused(layers, options, words):
    for wrapper in (partial(matryoshka_2d, widths=[4]), partial(espresso, width=4)):
        with pytest.raises(UsageError, match=words):
            wrapper(info_nce, *sample(0, views=2), layers, **options)


def test_vectors_too_narrow_for_the_published_widths_are_refused():
    with pytest.raises(UsageError, match="no widths for vectors of width 8"):
        matryoshka_2d(info_nce, *sample(0, views=2, width=8), (4, 2))
