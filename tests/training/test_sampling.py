"""Batches by a stage's sampling: resumed to the exact next batch, mixed, by tokens, counted by dataset."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformerTrainingArguments
from transformers import TrainerCallback

from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.errors import Diverged, RecipeError
from vecsmith.training.collate import TrainingSet
from vecsmith.training.fit import fit
from vecsmith.training.lengths import row_tokens, with_tokens
from vecsmith.training.objective import StageObjective
from vecsmith.training.plan import plan
from vecsmith.training.recipe import SamplingSpec, load_recipe
from vecsmith.training.trainer import BatchTrainer, last_checkpoint

STEPS = 12


class Recorder(BatchTrainer):
    """Keeps what each batch was and what it cost."""

    def compute_loss(self, model, inputs, *args, **kwargs):
        value = super().compute_loss(model, inputs, *args, **kwargs)
        self.seen.append((inputs["dataset"].tolist(), inputs["record_rows"].tolist(), value.item()))
        return value


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def halves(dataset):
    """Two datasets: 120 of the docstrings, and 80 others."""
    places = np.arange(dataset.records.num_rows)
    parts = dataset.filter(records=places < 120), dataset.filter(records=places >= 120)
    sets = []
    for number, part in enumerate(parts):
        columns = RecordColumns(part)
        columns.name = f"half{number}"
        sets.append(TrainingSet(part, columns, batch_size=None if number else 10, distinct_groups=False))
    return sets


def run(folder, model, sets, sampling, objective, *, stop=None, resume=False):
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=16,
        max_steps=STEPS,
        learning_rate=0.05,
        save_strategy="steps",
        save_steps=5,
        logging_steps=4,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Recorder(model, arguments, sets, StageObjective({"retrieval": [objective]}), sampling=sampling)
    trainer.seen = []
    if stop:
        trainer.add_callback(StopAt(stop))
    try:
        trainer.train(resume_from_checkpoint=str(last_checkpoint(folder)) if resume else None)
    except KeyboardInterrupt:
        assert stop
    return trainer


SAMPLINGS = {
    "plain": SamplingSpec(),
    "mixed": SamplingSpec(temperature=0.5, mixed_share=0.5),
    "tokens": SamplingSpec(batch_tokens=200),
    "mixed by tokens": SamplingSpec(batch_tokens=200, mixed_share=0.4),
}


@pytest.mark.parametrize("name", SAMPLINGS)
def test_a_killed_run_goes_on_with_the_exact_next_batch_and_loss(name, static_model, halves, tmp_path):
    sets = with_tokens(halves, static_model, {})
    start = {key: value.clone() for key, value in static_model.state_dict().items()}
    objective = {"info_nce": {"curriculum": "curricular", "mix_pairs": 0, "tilt": 1.0}}

    def fresh(folder, **options):
        static_model.load_state_dict(start)
        return run(tmp_path / folder, static_model, sets, SAMPLINGS[name], objective, **options)

    whole = fresh("whole")
    fresh("killed", stop=8)
    resumed = fresh("killed", resume=True)
    assert len(whole.seen) == STEPS
    assert resumed.seen == whole.seen[5:]
    assert resumed.tally.state()["totals"] == whole.tally.state()["totals"]
    assert resumed.objective_state.keys() == whole.objective_state.keys() != set()
    assert all(torch.equal(whole.objective_state[key], value) for key, value in resumed.objective_state.items())
    datasets = [set(owners) for owners, _, _ in whole.seen]
    assert any(len(each) == 2 for each in datasets) == ("mixed" in name)


def test_a_loss_of_nan_in_a_mixed_batch_names_every_dataset_and_its_records(static_model, halves, tmp_path):
    with torch.no_grad():
        static_model[0].embedding.weight.fill_(float("nan"))
    with pytest.raises(
        Diverged, match=r"step 1: the loss is nan on dataset half0, records \d+, .*; dataset half1, records 1\d\d, "
    ) as caught:
        run(tmp_path, static_model, shifted(halves), SamplingSpec(mixed_share=1.0), {"info_nce": {}})
    assert caught.value.dataset == "half0, half1"
    assert len(caught.value.rows) == 16


def shifted(sets):
    """The second set's records numbered on, as those of one file with both would be."""
    sets[1].columns.rows = np.arange(120, 200)
    return sets


def test_the_log_sums_removed_pairs_and_averages_the_rest(static_model, halves, tmp_path):
    trainer = run(tmp_path, static_model, halves, SamplingSpec(), {"info_nce": {}})
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert len(lines) == 3
    facts = trainer.tally.facts()
    for key in ("removed_key", "removed_group", "removed_known"):
        assert sum(line.get(key, 0) for line in lines) == sum(each.get(key, 0) for each in facts.values())
    assert sum(line["removed_group"] for line in lines) > 0
    assert all(0 <= line["accuracy"] <= 1 for line in lines)
    assert sum(each["batches"] for each in facts.values()) == STEPS
    assert trainer.tally.rows == sum(len(rows) for _, rows, _ in trainer.seen)


def test_estimated_tokens_are_near_the_counted_ones(static_model, dataset):
    training_set = TrainingSet(dataset, RecordColumns(dataset))
    guessed = row_tokens(training_set, static_model, {"query": "the "})
    records = dataset.records
    texts = [
        "the " + query + " " + positive
        for query, positive in zip(
            dataset.texts(records["query"].to_numpy()),
            dataset.texts(np.array([row[0] for row in records["positives"].to_pylist()])),
            strict=True,
        )
    ]
    counted = np.array([len(text.split()) for text in texts])
    assert abs(guessed.sum() / counted.sum() - 1) < 0.3
    assert np.corrcoef(guessed, counted)[0, 1] > 0.8


def test_no_text_costs_more_tokens_than_the_model_reads(transformer_folder, dataset):
    from vecsmith.models.load import load

    model = load(transformer_folder)
    model.max_seq_length = 5
    assert row_tokens(TrainingSet(dataset, RecordColumns(dataset)), model).max() == 10


SAMPLED = """\
name: sampled
seed: 3
model: {base: START}
data:
  - {path: big, weight: 1.0, cap: 100}
  - {path: small, batch_size: 6}
stages:
  - name: fit
    objective: {retrieval: [{info_nce: {}}]}
    sampling: {temperature: 0.5, mixed_share: 0.25}
    train: {per_device_train_batch_size: 8, max_steps: 9, learning_rate: 0.01, use_cpu: true}
"""


@pytest.fixture
def sampled(write_recipe, static_model, dataset, tmp_path):
    static_model.save(str(tmp_path / "start"))
    places = np.arange(dataset.records.num_rows)
    dataset.filter(records=places < 140).save(tmp_path / "big")
    dataset.filter(records=places >= 140).save(tmp_path / "small")
    return lambda *overrides: load_recipe(
        write_recipe(SAMPLED.replace("START", str(tmp_path / "start"))), overrides=overrides
    )


@pytest.mark.parametrize("sampling", ["{temperature: 0.5, mixed_share: 0.25}", "{batch_tokens: 150}"])
def test_a_plan_says_the_steps_and_pairs_of_the_run(sampling, sampled, tmp_path):
    for length in ("stages.0.train.max_steps=9", "stages.0.train={num_train_epochs: 2, use_cpu: true}"):
        recipe = sampled(f"stages.0.sampling={sampling}", length)
        planned = plan(recipe)["stages"][0]
        fit(recipe, output=tmp_path / "out", force=True)
        (made,) = json.loads((tmp_path / "out" / "training.json").read_text())["stages"]
        assert (planned["steps"], planned["pairs"]) == (made["steps"], made["pairs"])
        assert set(made["datasets"]) <= {"big", "small", "mixed"}
        assert sum(each["rows"] for each in made["datasets"].values()) == made["pairs"]
        assert any("removed_known" in each for each in made["datasets"].values())


def test_a_plan_shows_each_sets_batches_of_an_epoch(sampled):
    stage = plan(sampled())["stages"][0]
    assert stage["epoch"]["small"]["turns"] > 1 > stage["epoch"]["big"]["turns"] > 0
    assert stage["epoch"]["mixed"]["batches"] > 0
    assert {"big", "small", "mixed"} == set(stage["epoch"])


def test_an_unknown_key_of_sampling_is_named_with_its_line(sampled):
    with pytest.raises(
        RecipeError,
        match=r'unknown key "temprature" in stages.0.sampling; did you mean "temperature"\? '
        r"\(known: batch_tokens, mixed_share, temperature\)",
    ):
        sampled("stages.0.sampling={temprature: 1}")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("data.0.weight=.inf", "line 5: data.0.weight is inf"),
        ("data.0.weight=.nan", "data.0.weight is nan"),
        ("data.0.batch_size=0", "data.0.batch_size is 0"),
        ("stages.0.sampling={temperature: .inf}", "stages.0.sampling.temperature is inf"),
        ("stages.0.sampling={mixed_share: 2}", "stages.0.sampling.mixed_share is 2"),
        ("stages.0.sampling={batch_tokens: 0}", "stages.0.sampling.batch_tokens is 0"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused_before_anything_is_read(key, words, sampled):
    with pytest.raises(RecipeError, match=words.replace("line 5: ", "")):
        sampled(key)


def test_classes_with_one_text_are_said_and_serve_as_negatives(write_recipe, static_model, dataset, tmp_path):
    texts = dataset.texts(np.arange(60))
    with Dataset.build(name="classes") as builder:
        for number, text in enumerate(texts):
            label = f"class {number % 5}" if number < 50 else f"alone {number}"
            builder.add_record(query=text, positives=[], label=label, kind="class")
        classes = builder.finish()
    text = SAMPLED.partition("model:")[0] + "stages:" + SAMPLED.partition("stages:")[2].replace("retrieval", "class")
    recipe = load_recipe(write_recipe(text), overrides=["stages.0.sampling={}"])
    said = []
    fit(recipe, data={"classes": classes}, output=tmp_path / "out", model=static_model, progress=Listener(said))
    assert any("dataset classes: 10 classes have one text; it is lent as a negative" in line for line in said)
    assert any("pairs removed as no negatives: " in line and "by label" in line for line in said)


class Listener:
    def __init__(self, said):
        from vecsmith.progress import SILENT

        self.said, self.task = said, SILENT.task

    def say(self, text):
        self.said.append(text)
