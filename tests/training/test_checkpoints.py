"""A checkpoint in which somebody planted code is refused in words, and the code does not run."""

import os
import pickle

import pytest
from sentence_transformers import SentenceTransformerTrainingArguments

from vecsmith.data.columns import RecordColumns
from vecsmith.errors import Damaged
from vecsmith.training.collate import TrainingSet
from vecsmith.training.objective import StageObjective
from vecsmith.training.trainer import BatchTrainer, last_checkpoint


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_planted_pickle_is_not_opened_on_resuming(static_model, dataset, tmp_path, name):
    def trainer():
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path / "run"),
            per_device_train_batch_size=8,
            max_steps=2,
            save_strategy="steps",
            save_steps=1,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        sets = [TrainingSet(dataset, RecordColumns(dataset))]
        return BatchTrainer(static_model, arguments, sets, StageObjective({"retrieval": [{"info_nce": {}}]}))

    trainer().train()
    checkpoint = last_checkpoint(tmp_path / "run")
    (checkpoint / name).write_bytes(pickle.dumps(Bomb(tmp_path / "boom"), protocol=2))
    with pytest.raises(Damaged, match="was not opened"):
        trainer().train(resume_from_checkpoint=str(checkpoint))
    assert not (tmp_path / "boom").exists()
