"""A recipe that asks for teacher scores gets them before it trains; a killed run computes only what is missing."""

import json

import pytest

from vecsmith.data.dataset import Dataset
from vecsmith.errors import RecipeError
from vecsmith.training.fit import fit
from vecsmith.training.plan import plan
from vecsmith.training.prepare import prepared, supplied
from vecsmith.training.recipe import load_recipe
from vecsmith.training.sets import open_sets

RECIPE = """\
name: scored
data: [{path: lists, score: {teacher: default, kind: embedder, how: minmax}}]
stages:
  - objective: {retrieval: [soft_labels]}
    train: {per_device_train_batch_size: 4, max_steps: 2}
"""


@pytest.fixture
def lists(dataset):
    texts = dataset.texts(range(len(dataset.inputs)))
    with Dataset.build(name="lists") as builder:
        for number in range(8):
            builder.add_record(
                query=texts[number], positives=[texts[number + 20]], negatives=texts[number + 30 : number + 33]
            )
        return builder.finish()


def test_scores_are_there_before_training_and_the_lock_names_the_data_as_they_came(
    write_recipe, lists, static_model, tmp_path
):
    recipe = load_recipe(write_recipe(RECIPE))
    assert supplied(recipe) == {"lists": {"teacher_scores"}}
    fit(recipe, data={"lists": lists}, output=tmp_path / "out", model=static_model)
    found = json.loads((tmp_path / "out" / "training.json").read_text())["stages"][0]["datasets"]["lists"]
    assert 0 <= found["agreement"] <= 1
    assert "score:" in (tmp_path / "out" / "recipe.yaml").read_text()
    fit(recipe, data={"lists": lists}, output=tmp_path / "out", model=static_model)  # finished: nothing has changed


def test_a_second_time_finds_every_score_there(write_recipe, lists, tmp_path, monkeypatch):
    recipe = load_recipe(write_recipe(RECIPE))
    first = prepared(recipe, open_sets(recipe, {"lists": lists}), tmp_path)
    monkeypatch.setattr("vecsmith.models.scorers.EmbedderScorer.__call__", lambda *_: pytest.fail("scored again"))
    again = prepared(recipe, open_sets(recipe, {"lists": lists}), tmp_path)
    assert (first[0].columns.teacher_scores.values == again[0].columns.teacher_scores.values).all()
    assert set(first[0].columns.teacher_scores.row(0)) >= {0.0, 1.0}  # minmax


MINED = RECIPE.replace("score: {", "mine: {negatives: 2, ranks: [0, 6], relative_margin: null}, score: {")


def test_negatives_are_mined_before_a_teacher_scores_them(write_recipe, lists, static_model, tmp_path):
    recipe = load_recipe(write_recipe(MINED))
    assert supplied(recipe) == {"lists": {"negatives", "teacher_scores"}}
    (made,) = prepared(recipe, open_sets(recipe, {"lists": lists}), tmp_path / "work")
    columns = made.columns
    assert all(columns.negatives.length(row) == 2 for row in range(len(columns)))  # three were given
    assert all(columns.teacher_scores.length(row) == 3 for row in range(len(columns)))
    assert set(columns.teacher_scores.row(0)) >= {0.0, 1.0}  # of the teacher, by minmax
    fit(recipe, data={"lists": lists}, output=tmp_path / "out", model=static_model)
    assert "mine:" in (tmp_path / "out" / "recipe.yaml").read_text()


def test_what_was_mined_is_found_again_and_not_mined_twice(write_recipe, lists, tmp_path, monkeypatch):
    recipe = load_recipe(write_recipe(MINED))
    first = prepared(recipe, open_sets(recipe, {"lists": lists}), tmp_path)
    monkeypatch.setattr("vecsmith.models.mining.top_k", lambda *_, **__: pytest.fail("ranked again"))
    again = prepared(recipe, open_sets(recipe, {"lists": lists}), tmp_path)
    assert (first[0].columns.negatives.values == again[0].columns.negatives.values).all()


def test_a_set_without_score_stays_as_it_is(write_recipe, lists, tmp_path):
    recipe = load_recipe(write_recipe(RECIPE.replace(", score: {teacher: default, kind: embedder, how: minmax}", "")))
    sets = open_sets(recipe, {"lists": lists})
    assert prepared(recipe, sets, tmp_path) == sets


def test_a_plan_knows_what_will_be_there(write_recipe, lists, tmp_path):
    lists.save(tmp_path / "lists")
    assert plan(load_recipe(write_recipe(RECIPE)))["stages"][0]["steps"] == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("how: minmax", "hwo: minmax", 'line 2: unknown key "hwo" in data.0.score; did you mean "how"'),
        ("kind: embedder", "kind: oracle", "line 2: data.0.score.kind is 'oracle'"),
        ("teacher: default, ", "", "line 2: .data.0.score.teacher. is missing"),
        (
            "score: {",
            "mine: {negative: 2}, score: {",
            'unknown key "negative" in data.0.mine; did you mean "negatives"',
        ),
        ("score: {", "mine: {negatives: 0}, score: {", "line 2: data.0.mine.negatives is 0"),
    ],
)
def test_a_wrong_score_is_refused_with_its_line(write_recipe, old, new, words):
    with pytest.raises(RecipeError, match=words):
        load_recipe(write_recipe(RECIPE.replace(old, new)))
