"""Row 11: does 2-D Matryoshka make shallow layers and narrow vectors good, and what does the whole model pay?

A BERT of 4 layers and width 128 is trained from random numbers on (words of a name, summary) pairs of the bed's train
side, 350 steps of 64 pairs, and judged on 1,500 pairs of its test side: the reciprocal rank of the right summary among
all, for every layer and width.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replications.bench.bed import open_bed
from vecsmith.data.dataset import Dataset
from vecsmith.evaluation.layer_grid import layer_grid
from vecsmith.training.fit import fit
from vecsmith.training.recipe import load_recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from replications.bench.bed import Bed
    from replications.bench.job import Job, Outcome

RECIPE = Path(__file__).with_name("recipe.yaml")
DEPTH, WIDTH = 4, 128
JUDGED = 1500
WIDTHS = (128, 64, 32, 16, 8)
ARMS = {
    "plain": "[]",
    "matryoshka": f"[{{matryoshka: {{widths: {list(WIDTHS)}}}}}]",
    "matryoshka_2d": "[{matryoshka_2d: {}}]",
}


def replicate(job: "Job") -> "Outcome":
    """All arms and seeds; each is kept as soon as it is finished."""
    from replications.bench.job import Outcome

    bed = open_bed(job.work, vectors=False, progress=job.progress)
    results = {
        arm: [
            job.arm(arm, seed, lambda arm=arm, seed=seed: trained_and_judged(bed, arm, seed, job)) for seed in job.seeds
        ]
        for arm in ARMS
    }
    inert = [float(np.mean(each["divergence_after"] / each["divergence_before"])) for each in results["plain"]]
    first, last = (np.mean([each[f"L{layer}@{WIDTH}"].mean() for each in results["plain"]]) for layer in (1, DEPTH))
    notes = [
        f"The plain encoder reaches {first:.3f} after its first layer and {last:.3f} after its last, at full width: "
        "what depth is worth here, and so what shallow layers could lose."
    ]
    return Outcome(results=results, values={"divergence_left": inert}, bed=bed.describe(), notes=notes)


def trained_and_judged(bed: "Bed", arm: str, seed: int, job: "Job") -> dict[str, Any]:
    """Reciprocal ranks per query, by "L{layer}@{width}"."""
    folder = job.work / "models" / f"{arm}-{seed}"
    overrides = [f"seed={seed}", f"stages.0.wrap={ARMS[arm]}"] + (["stages.0.train.max_steps=3"] if job.quick else [])
    recipe = load_recipe(RECIPE, overrides=overrides)
    start = start_model(job.work / "start", seed)
    fit(recipe, data={"bed": pairs(bed)}, model=start, output=folder, force=True, progress=job.progress)
    words, summaries = bed.words[bed.test][:JUDGED], bed.summary[bed.test][:JUDGED]
    grid = layer_grid(start.eval(), lambda encode: reciprocal_ranks(encode(words), encode(summaries)), widths=WIDTHS)
    shutil.rmtree(folder)
    return {
        **{f"L{layer}@{width}": grid.found[layer, width] for layer, width in grid.found},
        **dict(zip(("divergence_before", "divergence_after"), divergences(start, summaries), strict=True)),
    }


def divergences(model: "SentenceTransformer", texts: list[str]) -> tuple[float, float]:
    """The divergence of layer 2 from the last at temperature 1, of vectors before and after the Normalize module."""
    from sentence_transformers import SentenceTransformer
    from torch.nn.functional import normalize

    from vecsmith.models.layers import layer_vectors
    from vecsmith.objectives.matryoshka import feature_divergence

    last, shallow = layer_vectors(SentenceTransformer(modules=list(model)[:2], device="cpu"), texts, [DEPTH, 2])
    before = feature_divergence(last, shallow, 1.0)
    after = feature_divergence(normalize(last, dim=1), normalize(shallow, dim=1), 1.0)
    return float(before), float(after)


def start_model(folder: Path, seed: int) -> "SentenceTransformer":
    """The untrained encoder; word pieces are those of the model that ships with vecsmith."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from vecsmith.models.names import resolve_name

    if not (folder / "config.json").is_file():
        pieces = PreTrainedTokenizerFast(
            tokenizer_file=str(resolve_name("default") / "tokenizer.json"),
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
        )
        ends = [(token, pieces.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
        pieces.backend_tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
        config = BertConfig(
            vocab_size=len(pieces),
            hidden_size=WIDTH,
            num_hidden_layers=DEPTH,
            num_attention_heads=4,
            intermediate_size=4 * WIDTH,
            max_position_embeddings=64,
        )
        BertModel(config).save_pretrained(folder)
        pieces.save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=64)
    torch.manual_seed(seed)
    transformer.model = BertModel._from_config(transformer.model.config, attn_implementation="sdpa")
    return SentenceTransformer(modules=[transformer, Pooling(WIDTH, "mean"), Normalize()], device="cpu")


def pairs(bed: "Bed") -> Dataset:
    """The train side: words of a name -> summary."""
    with Dataset.build(name="bed") as builder:
        for query, text in zip(bed.words[bed.train], bed.summary[bed.train], strict=True):
            builder.add_record(query=query, positives=[text])
        return builder.finish()


def reciprocal_ranks(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """1 / (1 + how many documents score above the query's own): float64 [n]; copies of it do not count."""
    scores = queries @ documents.T
    own = np.diag(scores)[:, None]
    return 1.0 / (1 + (scores > own + 1e-6).sum(axis=1))
