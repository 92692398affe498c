"""Data that cannot feed an objective are refused before training, with line, dataset, column and way out."""

import pytest

from vecsmith.data.dataset import Dataset
from vecsmith.errors import DataError, NotEnoughData, RecipeError
from vecsmith.training.fit import fit
from vecsmith.training.needs import check_needs, needs_of
from vecsmith.training.recipe import load_recipe
from vecsmith.training.sets import of_stage, open_sets

RECIPE = """\
name: needy
stages:
  - name: fit
    objective:
      KIND:
        - OBJECTIVE
    train: {max_steps: 2}
"""


def build(kind="retrieval", count=8, name="toy", **fields):
    with Dataset.build(name=name) as builder:
        for number in range(count):
            record = {"query": f"query {number}", "positives": [f"text {number}"], **fields}
            builder.add_record(
                **{key: value(number) if callable(value) else value for key, value in record.items()}, kind=kind
            )
        return builder.finish()


@pytest.fixture
def check(write_recipe):
    def checked(objective, *datasets, kind="retrieval", supplied=None, overrides=()):
        recipe = load_recipe(
            write_recipe(RECIPE.replace("KIND", kind).replace("OBJECTIVE", objective)), overrides=overrides
        )
        sets = open_sets(recipe, {each.name: each for each in datasets})
        check_needs(recipe, 0, of_stage(recipe, 0, sets), supplied)

    return checked


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (
            "soft_labels: {}",
            r"recipe.yaml, line 6: soft_labels needs teacher scores, and none of 8 usable records of dataset toy "
            r'\(kind retrieval\) has any in column "teacher_scores"; let a teacher score the records',
        ),
        (
            "info_nce: {mix_pairs: 2}",
            r'info_nce with mix_pairs needs negatives, .* in column "negatives"; mine some \(vecsmith mine\)',
        ),
        ("info_nce: {guide: true}", r"info_nce with guide needs teacher, and dataset toy .* names no teacher; name a"),
        ("cosent: {}", r'cosent needs scores, .* in column "scores"; name the column of grades'),
        ("margin_mse: {}", r"margin_mse needs negatives, "),
    ],
)
def test_an_objective_that_its_data_cannot_feed_is_refused_with_the_column(check, objective, words):
    with pytest.raises(RecipeError, match=words):
        check(objective, build())


def test_data_that_feed_the_objective_or_will_by_then_pass(check):
    taught = build(teacher_scores=[0.5], scores=lambda number: [number / 8])
    check("soft_labels: {}", taught)
    check("cosent: {}", taught)
    check("info_nce: {mix_pairs: 0}", build())
    check("margin_mse: {}", build(), supplied={"toy": {"negatives", "teacher_scores"}})


def test_needs_of_an_option_count_only_where_it_is_given():
    assert "negatives" not in needs_of("info_nce", {"mix_pairs": 0})
    assert needs_of("info_nce", {"mix_pairs": {"from": 0, "to": 2}})["negatives"] == "info_nce with mix_pairs"


def test_texts_alone_have_no_positives(check):
    with pytest.raises(RecipeError, match=r'info_nce needs positives, .* \(kind plain\) has any in column "positives"'):
        check("info_nce: {}", build(kind="plain", positives=lambda _: []), kind="plain")


def test_records_without_positives_are_refused(check):
    with pytest.raises(NotEnoughData, match="dataset toy: no positives: none of 8 records has a positive"):
        check("info_nce: {}", build(positives=lambda _: []))


def test_class_data_of_one_class_are_refused_and_of_two_pass(check):
    def classes(count):
        return build(kind="class", positives=lambda _: [], label=lambda number: f"c{number % count}")

    check("info_nce: {}", classes(2), kind="class")
    with pytest.raises(RecipeError, match=r"dataset toy: all 8 usable records have the same class in column \"label\""):
        check("info_nce: {}", classes(1), kind="class")


def test_a_share_to_mix_needs_two_sets_that_agree(check):
    other = build(name="other")
    share = ("stages.0.sampling={mixed_share: 0.5}",)
    check("info_nce: {}", build(), other, overrides=share)
    with pytest.raises(RecipeError, match=r"mixed_share is 0.5, but no two sets of this stage agree .*toy: kind"):
        check("info_nce: {}", build(), overrides=share)


def test_a_run_is_refused_before_its_folder_is_made(write_recipe, static_model, tmp_path):
    recipe = load_recipe(write_recipe(RECIPE.replace("KIND", "retrieval").replace("OBJECTIVE", "soft_labels: {}")))
    with pytest.raises(RecipeError, match="line 6: soft_labels needs teacher scores"):
        fit(recipe, data={"toy": build()}, output=tmp_path / "out", model=static_model)
    assert not list(tmp_path.glob("*out*"))


def test_teacher_scores_of_the_wrong_length_name_the_row(check):
    import pyarrow as pa

    good = build()
    place = good.records.column_names.index("teacher_scores")
    scores = pa.array([None, [0.5], [0.1, 0.2], *[None] * 5], pa.list_(pa.float32()))
    bad = Dataset(
        good.inputs, good.documents.table, good.records.set_column(place, "teacher_scores", scores), name="toy"
    )
    with pytest.raises(DataError, match=r'toy, row 3, column "teacher_scores": 2 scores for 1 positives and negatives'):
        check("soft_labels: {}", bad)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("NoSuchLoss", "line 6: .*NoSuchLoss"),
        ("TripletLoss", r"line 6: TripletLoss needs negatives"),
    ],
)
def test_a_stock_loss_is_checked_by_name(check, loss, words):
    with pytest.raises(RecipeError, match=words):
        check(f"stock_loss: {{name: {loss}}}", build())
