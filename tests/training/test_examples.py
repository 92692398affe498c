"""A dataset with in_context is tokenised with its examples; a recipe says so, and says what is wrong with it."""

import pytest

from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.data.in_context import InContext
from vecsmith.data.sampler import Draw
from vecsmith.errors import RecipeError
from vecsmith.training.collate import Collator, TrainingSet
from vecsmith.training.examples import ExampleTexts, ruler_of
from vecsmith.training.fit import fit
from vecsmith.training.recipe import load_recipe

OPTIONS = InContext("describe the name", count=2, room=16)


def texts_of(model, features):
    return model.tokenizer.batch_decode(features["input_ids"], skip_special_tokens=True)


def test_queries_carry_examples_and_documents_of_retrieval_are_bare(dataset, transformer_folder):
    import numpy as np
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(transformer_folder), device="cpu")
    model.max_seq_length = 60
    training_set = TrainingSet(dataset, RecordColumns(dataset), in_context=OPTIONS)
    batch = Collator([training_set], model)(Draw(0, np.arange(12), seed=3))
    masks = batch["queries"]["features"]["attention_mask"].sum(1).tolist()
    expected = ExampleTexts(training_set, OPTIONS, model)
    written = expected.texts("query", batch["queries"]["rows"].numpy(), 3)
    ruler = ruler_of(model)
    assert masks == [ruler.count(text) + 2 for text in written]
    assert max(masks) <= 60
    counts = {text.count("<instruct>") for text in written}
    assert {1, 2} <= counts
    assert counts <= {1, 2, 3}
    bare = dataset.texts(batch["documents"]["rows"].numpy())
    assert batch["documents"]["features"]["attention_mask"].sum(1).tolist() == [
        min(ruler.count(text) + 2, 60) for text in bare
    ]
    assert expected.texts("document", batch["documents"]["rows"].numpy(), 3) == bare


def test_documents_of_symmetric_records_carry_instruction_and_suffix(static_model):
    import numpy as np

    with Dataset.build(name="pairs") as builder:
        for number in range(6):
            builder.add_record(query=f"left {number}", positives=[f"right {number}"], kind="pair")
        dataset = builder.finish()
    found = ExampleTexts(TrainingSet(dataset, RecordColumns(dataset)), OPTIONS, static_model)
    row = found.pool.columns.positives.row(2)
    assert found.texts("document", np.asarray(row), 0) == ["<instruct>describe the name\n<query>right 2\n<response>"]
    own = found.texts("document", np.asarray(row), 0, ["say it again"])
    assert own == ["<instruct>say it again\n<query>right 2\n<response>"]


def test_a_ruler_counts_and_cuts_as_the_models_tokenizer_does(static_model, transformer_folder):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(transformer_folder), device="cpu")
    ruler = ruler_of(model)
    assert (ruler.max_length, ruler.count("parse the  name")) == (30, 3)
    assert ruler.cut("parse the  name", 2) == "parse the"
    assert ruler.cut("parse the", 2) == "parse the"
    loose = ruler_of(static_model)
    assert (loose.max_length, loose.cut("parse the  name", 1)) == (None, "parse")


RECIPE = """\
name: small
data: [{{path: docstrings, in_context: {options}}}]
stages:
  - objective: {{retrieval: [info_nce]}}
    train: {{per_device_train_batch_size: 16, max_steps: 3, learning_rate: 0.01}}
"""


def test_a_recipe_trains_with_examples(write_recipe, dataset, static_model, tmp_path):
    recipe = load_recipe(write_recipe(RECIPE.format(options="{task: describe it, count: 3}")))
    fit(recipe, data={"docstrings": dataset}, output=tmp_path / "out", model=static_model)
    assert "in_context" in (tmp_path / "out" / "recipe.yaml").read_text()


def test_a_wrong_key_is_named_with_its_line(write_recipe):
    with pytest.raises(RecipeError, match=r'line 2.*unknown key "cuont" in in_context; did you mean "count"'):
        load_recipe(write_recipe(RECIPE.format(options="{task: x, cuont: 3}")))


def test_a_room_as_long_as_the_model_is_refused(dataset, transformer_folder):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(transformer_folder), device="cpu")
    with pytest.raises(RecipeError, match="room is 512, and the model reads 30 tokens: no example would ever fit"):
        ExampleTexts(TrainingSet(dataset, RecordColumns(dataset)), InContext("x"), model)


def test_a_token_budget_counts_half_of_the_most_examples(dataset, transformer_folder):
    from sentence_transformers import SentenceTransformer

    from vecsmith.training.lengths import row_tokens

    model = SentenceTransformer(str(transformer_folder), device="cpu")
    model.max_seq_length = 400
    bare = TrainingSet(dataset, RecordColumns(dataset))
    shown = TrainingSet(dataset, RecordColumns(dataset), in_context=InContext("x", count=4, room=100))
    one, two = row_tokens(bare, model).mean(), row_tokens(shown, model).mean()
    assert 2.5 * one < two < 3.5 * one  # two examples, each a query and a document
