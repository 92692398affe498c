"""Difficulty and progress: worked numbers, what grows with the tilt, and the running mean that moves once a batch."""

from dataclasses import replace

import pytest
import torch

from vecsmith.objectives.candidates import candidates
from vecsmith.objectives.info_nce import info_nce, reweigh
from vecsmith.objectives.progressive import curricular, curricular_mean, tilted

SWITCHES = {"own_negatives": True, "other_positives": True, "other_negatives": True}


def test_the_worked_numbers_are_right():
    hard = torch.tensor([[[0.8, 0.5]]])
    positive = torch.tensor([[0.6]])
    assert curricular(hard, positive, 0.0)[0, 0].tolist() == pytest.approx([0.64, 0.5])
    assert curricular(hard, positive, 0.5)[0, 0].tolist() == pytest.approx([1.04, 0.5])
    logits = torch.zeros(1)
    assert float((tilted(logits, torch.tensor([0.5]), 4.0) - logits).exp()) == pytest.approx(7.389, abs=1e-3)


def test_the_tilt_is_a_constant_for_the_gradient():
    similarities = torch.tensor([0.3, 0.7], requires_grad=True)
    tilted(similarities / 0.5, similarities, 4.0).sum().backward()
    assert similarities.grad.tolist() == [2.0, 2.0]


def test_the_share_of_the_hardest_tenth_of_negatives_grows_with_the_tilt(batches):
    batch = batches.plain(60)
    rng = torch.Generator().manual_seed(1)
    vectors = [torch.randn(60, 12, generator=rng) for _ in range(2)]
    table = candidates(*vectors, batch, **SWITCHES, query_query=False, document_document=False)
    others = ~torch.eye(60, dtype=torch.bool)
    shares = []
    for tilt in (0.0, 1.0, 2.0, 3.0, 4.0):
        _, logits, _ = reweigh(table, batch, 0.05, tilt=tilt)
        mass = logits[:, 0][others].reshape(60, 59).softmax(dim=1)
        shares.append(float(mass.topk(6, dim=1).values.sum(dim=1).mean()))
    assert shares == sorted(shares)
    assert len(set(shares)) == 5


def test_where_all_negatives_are_easy_the_curriculum_is_plain(batches):
    batch = batches.plain(4)
    vectors = torch.eye(4)
    plain = info_nce(vectors, vectors, batch)
    assert float(info_nce(vectors, vectors, batch, curriculum="curricular").value) == float(plain.value)


def moved(batch, queries, documents, **options):
    return info_nce(queries, documents, batch, curriculum="curricular", **options).parts["curricular_mean"]


def test_the_mean_moves_once_a_batch_and_never_without_a_gradient(batches):
    batch = replace(batches.plain(3), state={}, seed=1)
    vectors = torch.eye(3)
    with torch.no_grad():
        assert moved(batch, vectors, vectors) == 0.0
    assert not batch.state
    assert moved(batch, vectors, vectors) == pytest.approx(0.01)
    assert moved(batch, vectors, vectors) == pytest.approx(0.01)  # another width, another term of a sum
    later = replace(batch, seed=2)  # the state is shared
    with torch.no_grad():
        assert moved(later, vectors, vectors) == pytest.approx(0.01)
    assert moved(later, vectors, vectors) == pytest.approx(0.99 * 0.01 + 0.01)
    assert moved(replace(later, progress=0.5), vectors, vectors) == pytest.approx(0.99**2 * 0.01 + 0.0199)
    assert set(batch.state) == {"curricular_mean", "curricular_turn"}
    assert all(isinstance(each, torch.Tensor) for each in batch.state.values())


def test_the_mean_counts_rows_by_their_weight_and_positives_by_their_row():
    state, positive = {}, torch.tensor([[0.5, 0.7], [0.2, 0.0]])
    shares = torch.tensor([[0.5, 0.5], [3.0, 0.0]])
    assert curricular_mean(state, positive, shares, turn=(0, 0.0)) == pytest.approx(0.01 * (0.6 + 3 * 0.2) / 4)
    assert curricular_mean({}, positive, shares * 0, turn=(0, 0.0)) == 0.0


def test_gradient_caching_moves_the_mean_once_and_gives_the_same_gradient(batches):
    from vecsmith.training.encoding import EncodedLoss

    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(24, 6, generator=rng)
    batch = batches.plain(6, negatives=3)
    start = torch.randn(6, 6, generator=rng)

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(start.clone())

        def forward(self, features):
            return {"sentence_embedding": features["input_ids"] @ self.weight}

    def objective(queries, documents, batch):
        return info_nce(
            queries, documents, batch, tilt=2.0, curriculum="curricular", focal_gamma=0.5, mix_pairs=2, mix_lists=1
        )

    results = []
    for chunk in (None, 4):
        model, state = Linear(), {}
        features = [{"input_ids": inputs[:6] + 0.1}, {"input_ids": inputs}]
        sides = [replace(b, features=f) for b, f in zip((batch.queries, batch.documents), features, strict=True)]
        for seed in range(3):
            loss = EncodedLoss(model, objective, chunk)
            loss(replace(batch, queries=sides[0], documents=sides[1], state=state, seed=seed)).backward()
        results.append((model.weight.grad, state["curricular_mean"]))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
    assert float(results[0][1]) == float(results[1][1]) != 0.0
