"""Do all ranks draw the same dataset at the same step? Ours against the stock multi-dataset sampler, 2 and 4 processes.

    python benchmarks/ranks_transcript.py [--json OUT] [--text OUT]

Each of the processes (gloo) draws an epoch over two datasets of 600 and 400 records, ours as the trainer draws it, the
stock one through accelerate as its trainer does; at every step all gather which dataset each has drawn from. A step is
mixed where they differ. Besides, every rank gets as many texts of other lengths as another (ours: its share of the
distinct inputs) and computes a loss over all: no step hangs, and the summed gradient is that of
one process with the whole batch.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed
from _side_by_side import processor_class, write_result

SIZES = (600, 400)
BATCH = 32


def main() -> int:
    """Run each number of processes, print the transcript, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    parser.add_argument("--text", type=Path, default=None, help="write the transcript here")
    arguments = parser.parse_args()
    if "RANK" in os.environ:
        rank_main()
        return 0
    results, lines = [], [f"{processor_class()}, gloo, batches of {BATCH} over all ranks, datasets of {SIZES}"]
    for ranks in (2, 4):
        found = run(ranks)
        results.append(found)
        lines += transcript(found)
    print("\n".join(lines))
    if arguments.text:
        arguments.text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_result(arguments.json, "ranks_transcript", 1, goals={"mixed_steps": 0, "gradient": 1e-5}, runs=results)
    return 0


def run(ranks: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks), __file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    marked = [line.partition("RESULT ")[2] for line in done.stdout.splitlines() if "RESULT " in line]
    if done.returncode or not marked:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(marked[0])
    return found


def transcript(found: dict[str, Any]) -> list[str]:
    lines = [f"\n{found['ranks']} processes"]
    for side in ("ours", "stock"):
        steps = found[side]
        mixed = sum(len(set(step)) > 1 for step in steps)
        lines.append(f"  {side:<6} {mixed} of {len(steps)} steps mixed ({100 * mixed / len(steps):.0f} %)")
        lines += [f"    step {number:>2}: dataset of each rank {step}" for number, step in enumerate(steps[:8], 1)]
    lines.append(f"  texts of each rank, step by step: {found['shares'][:6]}")
    lines.append(f"  largest difference of the gradient from that of one process: {found['gradient']:.1e}")
    return lines


def rank_main() -> None:
    """One of the processes; the first prints."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    ours, shares, gradient = draw_ours()
    found = {"ranks": ranks, "ours": ours, "stock": draw_stock(), "shares": shares, "gradient": gradient}
    if rank == 0:
        print(f"RESULT {json.dumps(found)}", flush=True)
    distributed.barrier()
    distributed.destroy_process_group()


def of_all(own: Any) -> list[Any]:
    """A value of each rank."""
    every: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(every, own)
    return every


def draw_ours() -> tuple[list[list[int]], list[list[int]], float]:
    """Dataset and texts of each rank at each step, and how far the summed gradient is from that of the whole batch."""
    from vecsmith.data.columns import RecordColumns
    from vecsmith.data.sampler import EpochSampler
    from vecsmith.training.collate import Collator, TrainingSet, source_of
    from vecsmith.training.encoding import EncodedLoss
    from vecsmith.training.objective import StageObjective

    model = small_model()
    sets = [TrainingSet(data(number, size), None) for number, size in enumerate(SIZES)]  # type: ignore[arg-type]
    sets = [TrainingSet(each.dataset, RecordColumns(each.dataset)) for each in sets]
    sets[1] = TrainingSet(sets[1].dataset, sets[1].columns, batch_size=7)  # no multiple of the ranks
    sampler = EpochSampler([source_of(each) for each in sets], batch_size=BATCH, seed=0)
    collate = Collator(sets, model)
    options = {"focal_gamma": 0.5, "tilt": 1.0, "curriculum": "curricular"}
    objective = StageObjective({"retrieval": [{"info_nce": options}]})
    loss, steps, shares, worst = EncodedLoss(model, objective), [], [], 0.0
    state: dict[str, torch.Tensor] = {}
    alone: dict[str, torch.Tensor] = {}
    for draw in sampler:
        values = collate(draw)
        steps.append(of_all(draw.dataset))
        shares.append(of_all(len(values["queries"]["features"]["offsets"])))
        summed = gradient_of(loss, model, values, state)
        distributed.all_reduce(summed)
        whole = whole_batch(model, sets, objective, draw, alone)
        worst = max(worst, float((summed / distributed.get_world_size() - whole).abs().max()))
    return steps, shares, max(of_all(worst))


def gradient_of(loss: Any, model: Any, values: dict[str, Any], state: dict[str, torch.Tensor]) -> torch.Tensor:
    from dataclasses import replace

    from vecsmith.data.batch import Batch

    model.zero_grad()
    loss(replace(Batch.from_dict(values), state=state)).backward()
    weight = model[0].embedding.weight
    return torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()


def whole_batch(model: Any, sets: Any, objective: Any, draw: Any, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """The gradient that a process alone finds, with no word to the others."""
    from dataclasses import replace

    from vecsmith.data.batch import gather_batch

    def encode(_: str, rows: np.ndarray, __: Any) -> Any:
        return model.preprocess(sets[draw.dataset].dataset.texts(rows))

    batch = gather_batch(sets[draw.dataset].columns, draw.rows, dataset=draw.dataset, seed=draw.seed, encode=encode)
    model.zero_grad()
    sides = [model(dict(side.features))["sentence_embedding"] for side in (batch.queries, batch.documents)]
    objective(*sides, replace(batch, state=state)).value.backward()
    found: torch.Tensor = model[0].embedding.weight.grad.clone()
    return found


def draw_stock() -> list[list[int]]:
    """Which dataset each rank gets from sentence-transformers' trainer, at each step of an epoch."""
    from datasets import Dataset as Table
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = small_model()
    tables = {
        f"set{number}": Table.from_dict(
            {
                "anchor": [f"{number} a{row}" for row in range(size)],
                "positive": [f"{number} b{row}" for row in range(size)],
            }
        )
        for number, size in enumerate(SIZES)
    }
    ranks = distributed.get_world_size()
    arguments = SentenceTransformerTrainingArguments(
        output_dir="unused",
        per_device_train_batch_size=BATCH // ranks,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_drop_last=True,
    )
    trainer = SentenceTransformerTrainer(
        model, arguments, train_dataset=tables, loss=MultipleNegativesRankingLoss(model)
    )
    collate = trainer.data_collator

    def which(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        owner = int(rows[0]["anchor"].split()[0])
        return {"owner": torch.full((len(rows),), owner)}

    which.valid_label_columns = collate.valid_label_columns  # type: ignore[attr-defined]
    trainer.data_collator = which
    return [of_all(int(batch["owner"][0])) for batch in trainer.get_train_dataloader()]


def data(number: int, size: int) -> Any:
    """Records whose texts are of many lengths."""
    from vecsmith.data.dataset import Dataset

    random = np.random.default_rng(number)
    with Dataset.build(name=f"set{number}") as builder:
        for row in range(size):
            words = [f"w{word}" for word in random.integers(0, 500, random.integers(1, 60))]
            builder.add_record(
                query=f"q{number} {row % 500} {words[0]}", positives=[f"d{number} {row} " + " ".join(words)]
            )
        return builder.finish()


def small_model() -> Any:
    """A static model of width 16 over words, seeded."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"[UNK]": 0, **{f"w{number}": number + 1 for number in range(500)}}
    vocabulary |= {str(number): 501 + number for number in range(600)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = torch.randn(len(vocabulary), 16, generator=torch.Generator().manual_seed(0))
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")


if __name__ == "__main__":
    sys.exit(main())
