"""Recipes: order of layers, errors with file, line and nearest name, paths, and that loading stays light."""

import subprocess
import sys

import pytest
import yaml

from vecsmith.errors import RecipeError
from vecsmith.training.recipe import load_recipe


def test_the_shipped_recipe_loads_by_name():
    recipe = load_recipe("forge")
    assert recipe.name == "forge"
    assert recipe.stages[0].objective["retrieval"] == [{"info_nce": {"temperature": 0.05}}]


def test_loading_a_recipe_imports_no_torch():
    code = "import sys; from vecsmith.training.recipe import load_recipe as load; load('forge'); "
    code += "print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_an_unknown_option_is_named_with_its_line_and_the_nearest_name(write_recipe, recipe_text):
    file = write_recipe(recipe_text.replace("temperature", "temprature"))
    with pytest.raises(
        RecipeError, match=r'recipe.yaml, line 6: unknown key "temprature" in info_nce; did you mean "temperature"\?'
    ):
        load_recipe(file)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed: 3", "sead: 3", r'line 2: unknown key "sead"; did you mean "seed"\?'),
        ("    train:", "    trian:", r'line 7: unknown key "trian" in stages.0; did you mean "train"\?'),
        ("info_nce", "info_nse", r'line 6: "info_nse" is no name of objectives; did you mean "info_nce"\?'),
        ("retrieval:", "retreival:", r'"retreival" is no kind; did you mean "retrieval"\?'),
        ("seed: 3", "seed: -3", r"line 2: seed is -3: input should be greater than or equal to 0"),
        ("name: small\n", "", r'"name" is missing'),
        ("seed: 3", "seed: 3\nseed: 4", r'line 3: key "seed" stands twice'),
        ("seed: 3", "seed: [3", r"line 3: is no YAML"),
        ("seed: 3", "prompts: {qwery: x}", r'"qwery" is no prompt; did you mean "query"\?'),
    ],
)
def test_every_fault_says_where_it_stands(write_recipe, recipe_text, old, new, words):
    with pytest.raises(RecipeError, match=words):
        load_recipe(write_recipe(recipe_text.replace(old, new)))


def test_a_file_that_is_no_mapping_is_refused(write_recipe):
    with pytest.raises(RecipeError, match="line 1: a recipe is a mapping"):
        load_recipe(write_recipe("- a\n- b\n"))


def test_extends_lies_under_the_file_the_profile_over_it_and_set_over_all(write_recipe, recipe_text):
    write_recipe(recipe_text + "licence: mit\nnotes: below\n", "base.yaml")
    file = write_recipe(
        "extends: base.yaml\nname: top\nseed: 4\nnotes: file\n"
        "profiles:\n  big: {seed: 5, model: {base: large}}\n  small: {seed: 6}\n"
    )
    assert (load_recipe(file).name, load_recipe(file).licence, load_recipe(file).seed) == ("top", "mit", 4)
    big = load_recipe(file, "big")
    assert (big.seed, big.model.base, big.notes) == (5, "large", "file")
    over = load_recipe(file, "big", ["seed=7", "stages.0.train.max_steps=9", "model.base=other"])
    assert (over.seed, over.model.base, over.stages[0].train["max_steps"]) == (7, "other", 9)
    assert over.stages[0].train["learning_rate"] == 0.01


def test_an_unknown_key_of_an_extended_recipe_is_placed_in_its_own_file(write_recipe, recipe_text):
    write_recipe(recipe_text.replace("seed", "sede"), "base.yaml")
    with pytest.raises(RecipeError, match=r'base.yaml, line 2: unknown key "sede"'):
        load_recipe(write_recipe("extends: base.yaml\n"))


def test_a_recipe_that_extends_itself_is_refused(write_recipe):
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(write_recipe("extends: recipe.yaml\nname: x\n"))


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(RecipeError, match=r'no profile "transfomer"; did you mean "transformer"\?'):
        load_recipe("forge", "transfomer")


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match=r'no recipe "froge"; did you mean "forge"\?'):
        load_recipe("froge")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("sed=1", r'--set sed=1: unknown key "sed"; did you mean "seed"\?'),
        ("stages.3.cache=1", r"stages is a list of 1; no item 3"),
        ("seed.x=1", r"seed is 0; no x below it"),
        ("nothing", r'"nothing": write it as a.b=c'),
        ("stages.0.objective.retrieval.0.info_nce.tau=1", r'unknown key "tau" in info_nce'),
    ],
)
def test_a_set_that_fits_nowhere_is_refused(assignment, words):
    with pytest.raises(RecipeError, match=words):
        load_recipe("forge", overrides=[assignment])


def test_a_resolved_recipe_loads_to_itself(write_recipe):
    text = load_recipe("forge", "transformer", ["seed=9"]).to_yaml()
    again = load_recipe(write_recipe(text))
    assert again.to_yaml() == text
    assert "profiles" not in yaml.safe_load(text)


def test_paths_are_relative_to_the_recipe_then_looked_up_under_the_data_root(write_recipe, recipe_text, tmp_path):
    (tmp_path / "beside").mkdir()
    (tmp_path / "root" / "bare").mkdir(parents=True)
    file = write_recipe(recipe_text)
    recipe = load_recipe(file, data_root=tmp_path / "root")
    assert recipe.locate("beside") == tmp_path / "beside"
    assert recipe.locate("bare") == tmp_path / "root" / "bare"
    with pytest.raises(RecipeError, match='no data at "absent"'):
        recipe.locate("absent")


def test_the_data_root_may_come_from_the_environment(write_recipe, recipe_text, tmp_path, monkeypatch):
    (tmp_path / "root" / "bare").mkdir(parents=True)
    monkeypatch.setenv("VECSMITH_DATA", str(tmp_path / "root"))
    assert load_recipe(write_recipe(recipe_text)).locate("bare") == tmp_path / "root" / "bare"


def test_a_bare_name_stands_for_an_objective_without_options(write_recipe, recipe_text):
    file = write_recipe(recipe_text.replace("[{info_nce: {temperature: 0.05}}]", "[info_nce]"))
    assert load_recipe(file).stages[0].objective == {"retrieval": [{"info_nce": None}]}
