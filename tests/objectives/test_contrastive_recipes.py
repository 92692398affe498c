"""The shipped recipes of KaLM-V2 and PEG: they load with every profile, and say the published figures."""

import pytest

from vecsmith.training.recipe import load_recipe


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("kalm_v2", None),
        ("kalm_v2", "minilm"),
        ("peg", None),
        ("peg", "curricular"),
        ("peg", "minilm"),
        ("peg", "paper"),
    ],
)
def test_a_recipe_loads_with_each_profile(name, profile):
    assert load_recipe(name, profile=profile).stages[-1].objective["retrieval"]


def test_the_paper_profile_of_kalm_has_the_published_figures():
    recipe = load_recipe("kalm_v2", profile="paper")
    fine = recipe.stages[-1]
    assert recipe.model.max_seq_length == 512
    assert fine.objective["retrieval"] == [
        {"info_nce": {"temperature": 0.01, "focal_gamma": 0.5, "mix_pairs": 1, "mix_lists": 1}}
    ]
    assert fine.wrap == [{"matryoshka": {"widths": [896, 512, 256, 128, 64], "weights": [1.0, 0.3, 0.2, 0.1, 0.1]}}]
    assert fine.train["per_device_train_batch_size"] == 48
    assert (fine.train["learning_rate"], fine.train["warmup_steps"]) == (1e-5, 0.1)
