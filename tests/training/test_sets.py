"""What a recipe reads, and what that does not depend on."""

import pytest

from vecsmith.training.recipe import load_recipe
from vecsmith.training.sets import open_sets

RECIPE = """name: seeds
seed: 0
licence: apache-2.0
model: {base: default}
data: [{path: docs, limit: 20}]
stages: [{name: fit, objective: {retrieval: [{info_nce: {temperature: 0.05}}]}}]
"""


@pytest.fixture
def recipe_file(tmp_path):
    (tmp_path / "docs").mkdir()
    for number in range(30):
        sentences = " ".join(
            f"Sentence {n} of part {number} says what the number {number * n} is good for." for n in range(6)
        )
        text = f"# What part {number} is about\n\n{sentences}\n"
        (tmp_path / "docs" / f"{number}.md").write_text(text, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path / "recipe.yaml"


def test_the_seed_of_a_recipe_does_not_change_its_data(recipe_file):
    first, *others = (
        open_sets(load_recipe(recipe_file, overrides=[f"seed={seed}"]))[0].dataset.fingerprint() for seed in (0, 1, 2)
    )
    assert others == [first, first]
