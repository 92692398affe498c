"""similarity_distillation against loops, its limits, gradients and errors."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.batch import Batch, Block
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.similarity_distillation import similarity_distillation

NOBODY = torch.zeros(0, 3)


def texts(teacher):
    count = 0 if teacher is None else len(teacher)
    nothing = torch.zeros(count, 0, dtype=torch.int64)
    rows = torch.arange(count)
    return Batch(
        queries=Block(rows, rows, rows - rows - 1, teacher=teacher),
        documents=Block(rows[:0], rows[:0], rows[:0]),
        query_index=rows,
        positives=nothing,
        negatives=nothing,
        known=torch.zeros(0, 2, dtype=torch.int64),
        weights=torch.ones(count),
        dataset=rows,
        kind="plain",
    )


def sample(seed, count=5):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=rng, dtype=torch.float64), torch.randn(count, 4, generator=rng)


def cosines(vectors):
    rows = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in vectors.tolist()]
    return [[sum(x * y for x, y in zip(a, b, strict=True)) for b in rows] for a in rows]


def slow(student, teacher, mse, kl, temperature):
    seen, wanted = cosines(student), cosines(teacher)
    count, squares, divergence = len(seen), 0.0, 0.0
    for i in range(count):
        others = [j for j in range(count) if j != i]
        squares += sum((seen[i][j] - wanted[i][j]) ** 2 for j in others)
        p = [math.exp(wanted[i][j] / temperature) for j in others]
        q = [math.exp(seen[i][j] / temperature) for j in others]
        for a, b in zip(p, q, strict=True):
            divergence += a / sum(p) * math.log((a / sum(p)) / (b / sum(q)))
    return mse * squares / count / (count - 1) + kl * divergence / count


@pytest.mark.parametrize(("mse", "kl"), [(1.0, 0.0), (0.0, 1.0), (0.5, 2.0)])
def test_it_agrees_with_loops_over_python_floats(mse, kl):
    student, teacher = sample(1)
    loss = similarity_distillation(student, NOBODY, texts(teacher), mse=mse, kl=kl, temperature=0.3)
    assert loss.value.item() == pytest.approx(slow(student, teacher, mse, kl, 0.3), abs=1e-6)


def test_two_texts_at_cosine_one_that_the_teacher_has_at_zero_cost_one():
    loss = similarity_distillation(torch.ones(2, 2), NOBODY, texts(torch.eye(2)))
    assert loss.value.item() == pytest.approx(1.0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10))
def test_a_student_that_is_its_teacher_rotated_and_scaled_costs_nothing(seed, scale):
    _, teacher = sample(seed)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)))
    loss = similarity_distillation(teacher @ rotation * scale, NOBODY, texts(teacher), kl=1.0)
    assert loss.value.item() == pytest.approx(0.0, abs=1e-5)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000))
def test_the_order_of_texts_changes_nothing(seed):
    student, teacher = sample(seed)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    here = similarity_distillation(student, NOBODY, texts(teacher), kl=1.0).value.item()
    there = similarity_distillation(student[order], NOBODY, texts(teacher[order]), kl=1.0).value.item()
    assert here == pytest.approx(there, abs=1e-6)


def test_gradients_agree_with_differences():
    student, teacher = sample(2)
    batch = texts(teacher.double())
    function = lambda vectors: similarity_distillation(vectors, NOBODY, batch, kl=0.5, temperature=0.5).value  # noqa: E731
    assert torch.autograd.gradcheck(function, (student.requires_grad_(),))


def test_one_text_alone_is_an_error():
    with pytest.raises(NotEnoughData, match="all rows masked: 1 text has no neighbour"):
        similarity_distillation(torch.ones(1, 2), NOBODY, texts(torch.ones(1, 2)))


def test_a_batch_without_teacher_vectors_is_an_error():
    batch = replace(texts(torch.ones(2, 2)), queries=Block(*[torch.arange(2)] * 3))
    with pytest.raises(ValueError, match="needs teacher vectors"):
        similarity_distillation(torch.ones(2, 2), NOBODY, batch)
