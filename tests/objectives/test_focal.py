"""Focal weights: the figures of the derivative, the limits, and where the gradient of a batch goes."""

import pytest
import torch

from vecsmith.objectives.focal import focal_weights
from vecsmith.objectives.info_nce import info_nce

# |dL/dlogit| of -w log p, gamma 0.5: by hand, d log p / d logit = 1 - p, so plain 1 - p, detached (1 - p)^1.5, attached
# (1 - p)^1.5 (1 - gamma p log p / (1 - p)).
FIGURES = {
    0.05: (0.95, 0.999, 0.926),
    0.5: (0.50, 0.476, 0.354),
    0.95: (0.050, 0.017, 0.011),
    0.99: (0.010, 0.0015, 0.001),
}


@pytest.mark.parametrize(("p", "figures"), FIGURES.items())
def test_the_slope_of_the_positive_logit_is_that_of_the_formula(p, figures):
    slopes = []
    for gamma, detach in ((0.0, False), (0.5, False), (0.5, True)):
        logit = torch.tensor(p, dtype=torch.float64).logit().requires_grad_()
        log_p = torch.nn.functional.logsigmoid(logit)
        (-focal_weights(log_p, gamma, detach=detach) * log_p).backward()
        slopes.append(abs(float(logit.grad)))
    assert slopes == pytest.approx(figures, rel=0.06)


def test_gamma_zero_gives_ones_and_below_zero_is_refused():
    assert focal_weights(torch.tensor([-3.0, 0.0]), 0.0).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"focal gamma is -0\.1"):
        focal_weights(torch.zeros(1), -0.1)


def test_a_certain_positive_has_a_finite_gradient_for_gamma_below_one():
    log_p = torch.zeros(1, requires_grad=True)
    (focal_weights(log_p, 0.5) * log_p).sum().backward()
    assert float(log_p.grad) == pytest.approx(1e-3)


def test_renormalised_weights_have_mean_one_over_what_counts():
    log_p, shares = torch.tensor([-0.1, -1.0, -3.0]), torch.tensor([2.0, 1.0, 0.0])
    assert float(focal_weights(log_p, 0.5, renormalise=True).mean()) == pytest.approx(1.0)
    weighted = focal_weights(log_p, 0.5, renormalise=True, shares=shares)
    assert float((weighted * shares).sum() / shares.sum()) == pytest.approx(1.0)


def share_on_hardest(batch, **options):
    """Of the norms of the queries' gradients, what the quarter of rows with the largest loss has."""
    rng = torch.Generator().manual_seed(0)
    documents = torch.randn(len(batch.documents), 24, generator=rng)
    queries = documents[batch.positives[:, 0]] + torch.linspace(0.2, 3.0, len(batch))[:, None] * torch.randn(
        len(batch), 24, generator=rng
    )
    queries.requires_grad_()
    info_nce(queries, documents, batch, temperature=0.1, **options).value.backward()
    units = [torch.nn.functional.normalize(each.detach(), dim=1) for each in (queries, documents)]
    log_p = (units[0] @ units[1].T / 0.1).log_softmax(dim=1).diagonal()
    norms = (queries.grad * queries.detach().norm(dim=1, keepdim=True)).norm(dim=1)
    return float(norms[log_p.argsort()[: len(batch) // 4]].sum() / norms.sum())


def test_focal_weights_move_the_gradient_to_the_hardest_quarter_of_rows(batches):
    batch = batches.plain(64)
    plain = share_on_hardest(batch)
    for detach in (False, True):
        assert share_on_hardest(batch, focal_gamma=0.5, focal_detach=detach) > plain + 0.01
    assert share_on_hardest(batch, focal_gamma=2.0) > share_on_hardest(batch, focal_gamma=0.5)
