"""Same, Convertible or Different, and the refusal that names every field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.contract.compare import Convertible, Different, Same, compare, require_same
from vecsmith.contract.contract import Contract
from vecsmith.errors import SpaceMismatch

SPACE = {"weights": "a" * 64, "tokenizer": "b" * 64, "pooling": "mean", "max_length": 256, "prompts": {"texts": {}}}
VIEW = {"width": 8, "normalised": True, "dtype": "float32", "similarity": "cosine", "prompt": None, "quantiser": None}

spaces = st.fixed_dictionaries({"weights": st.sampled_from("ab"), "max_length": st.sampled_from([None, 256])})
views = st.fixed_dictionaries(
    {
        "width": st.integers(1, 3),
        "normalised": st.booleans(),
        "dtype": st.sampled_from(["float32", "float16", "int8"]),
        "similarity": st.sampled_from(["cosine", "dot", "euclidean"]),
        "prompt": st.sampled_from([None, "q: ", "d: "]),
        "quantiser": st.none(),
    }
)
contracts = st.builds(Contract, space=spaces, view=views)


def contract(space: dict | None = None, **view: object) -> Contract:
    return Contract({**SPACE, **(space or {})}, {**VIEW, **view}, {"name": "small"})


@given(contracts)
def test_a_contract_is_the_same_as_itself(one):
    assert isinstance(compare(one, one), Same)


@given(contracts, contracts)
def test_different_spaces_are_different_both_ways(one, other):
    if one.space != other.space:
        assert isinstance(compare(one, other), Different)
        assert isinstance(compare(other, one), Different)
        assert one.fingerprint != other.fingerprint


@given(contracts, contracts)
def test_steps_that_lose_something_cannot_be_undone(one, other):
    there, back = compare(one, other), compare(other, one)
    if isinstance(there, Convertible) and any(not step.startswith("score") for step in there.steps):
        assert isinstance(back, Different)


def test_a_wider_vector_is_cut_and_normalised_again():
    verdict = compare(contract(width=8), contract(width=4))
    assert verdict == Convertible(("cut to the first 4 components", "normalise to unit length"))
    assert compare(contract(width=4), contract(width=8)).fields[0].field == "width"


def test_the_prompt_used_separates_only_where_both_are_fixed():
    assert isinstance(compare(contract(), contract(prompt="d: ")), Same)
    assert isinstance(compare(contract(prompt="q: "), contract(prompt="d: ")), Different)


def test_cosine_and_dot_are_one_on_unit_vectors():
    assert isinstance(compare(contract(similarity="dot"), contract()), Same)
    raw = {"normalised": False}
    assert compare(contract(similarity="dot", **raw), contract(**raw)) == Convertible(("score by cosine",))


def test_a_refusal_names_every_field_with_both_values_and_the_way_out():
    held, offered = contract(), contract({"weights": "c" * 64, "max_length": 128})
    with pytest.raises(SpaceMismatch) as caught:
        require_same(held, offered, where="out/index")
    words = str(caught.value)
    assert caught.value.fields == ("max_length", "weights")
    assert f"out/index holds space {held.fingerprint} (small, mean, 256 tokens, 8 wide)" in words
    assert f"this model is space {offered.fingerprint}" in words
    assert "max_length and weights differ" in words
    assert "max_length: 256 there, 128 in this model" in words
    assert "weights: aaaaaaaaaaaa there, cccccccccccc in this model" in words
    assert "vecsmith index create NEW --model MODEL" in words


def test_another_view_is_refused_with_its_steps_or_accepted_where_asked():
    held, offered = contract(width=4), contract(width=8)
    with pytest.raises(SpaceMismatch, match=r"another view of the same space.*cut to the first 4 components"):
        require_same(held, offered, where="out/index")
    assert isinstance(require_same(held, offered, where="out/index", convertible=True), Convertible)
    assert isinstance(require_same(held, held, where="out/index"), Same)


def test_the_way_out_can_be_the_callers():
    with pytest.raises(SpaceMismatch, match=r"pooling differs.\n.*\nTurn it off"):
        require_same(contract(), contract({"pooling": "cls"}), where="it", way_out="Turn it off")
