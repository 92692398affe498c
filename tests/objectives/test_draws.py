"""Draws by content: the published generator, the shape of the distribution, and what they must not hang on."""

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.objectives import draws, focal
from vecsmith.objectives.draws import beta_2_2, uniform

WHOLE = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize("module", [draws, focal], ids=lambda each: each.__name__)
def test_the_worked_numbers_of_the_docstrings_are_right(module):
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


def test_the_generator_gives_the_published_first_numbers_of_splitmix64():
    state = torch.tensor(0)
    outputs = []
    for _ in range(3):  # the published generator adds its constant to the state, and scrambles a copy
        outputs.append(int(draws._scrambled(state)) % 2**64)
        state = state + draws.GOLDEN
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(seed=st.integers(), first=WHOLE, second=WHOLE, salt=st.integers(0, 99))
def test_a_draw_is_inside_the_open_interval_and_the_same_alone_or_among_others(seed, first, second, salt):
    alone = uniform(seed, torch.tensor(first), torch.tensor(second), salt=salt)
    among = uniform(seed, torch.tensor([[3], [first]]), torch.tensor([second, 5, 7]), salt=salt)
    assert 0 < float(alone) < 1
    assert float(alone) == float(among[1, 0])


def test_the_largest_and_the_smallest_hash_stay_inside():
    most = torch.tensor(2**52 - 1, dtype=torch.int64).double()
    assert float((most + 0.5) * 2.0**-52) < 1
    assert 0.5 * 2.0**-52 > 0


def test_draws_are_even_and_hang_on_every_argument():
    keys = torch.arange(40_000)
    values = uniform(1, keys)
    counts = torch.histc(values.float(), 20, 0, 1)
    assert float(((counts - 2000) ** 2 / 2000).sum()) < 43.8  # chi squared, 19 degrees: 1 in 1,000 above
    others = [uniform(2, keys), uniform(1, keys, salt=1), uniform(1, keys, keys), uniform(1, keys + 40_000)]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([values, other]))[0, 1])) < 0.02
    one, two = torch.tensor(1), torch.tensor(2)
    assert uniform(0, one, two) != uniform(0, two, one)


def test_the_median_of_three_has_mean_variance_and_quartile_of_beta_2_2():
    values = beta_2_2(3, torch.arange(60_000))
    assert float(values.mean()) == pytest.approx(0.5, abs=0.004)
    assert float(values.var()) == pytest.approx(0.05, abs=0.001)  # 2 * 2 / (4^2 * 5)
    assert float((values < 0.25).double().mean()) == pytest.approx(0.15625, abs=0.006)  # 3 x^2 - 2 x^3


def test_no_key_at_all_is_one_number_and_a_key_of_another_type_is_refused():
    assert uniform(5).shape == ()
    with pytest.raises(TypeError, match=r"keys are torch.float32; draws hang on int64 keys"):
        uniform(5, torch.zeros(2))
