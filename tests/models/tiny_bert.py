"""A BERT of 2 layers with random weights and the tokenizer of all-MiniLM-L6-v2: every kind of model in a second."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertModel

WIDTH = 32


def write_bert(folder: Path, tokenizer: Path, seed: int = 0, **config: Any) -> Path:
    """Weights, config and tokenizer of the transformer alone."""
    torch.manual_seed(seed)
    settings = BertConfig(vocab_size=30522, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4,
                          intermediate_size=64, max_position_embeddings=160, **config)  # fmt: skip
    model = BertModel(settings)
    with torch.no_grad():  # the usual start is so small that all inputs look alike
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                weight.mul_(8 if "embeddings" in name else 4)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return folder


def build(bert: Path, *after: Any, pooling: Any = "mean", length: int = 64, normalise: bool = True, **options: Any):
    """A SentenceTransformer over those weights; `after` comes between Pooling and Normalize."""
    first = Transformer(str(bert))
    first.max_seq_length = length
    modules = [first, Pooling(WIDTH, pooling), *after, *([Normalize()] if normalise else [])]
    return SentenceTransformer(modules=modules, device="cpu", **options)


def edited(folder: Path, target: Path, file: str, **changes: Any) -> Path:
    """A copy with some keys of a JSON file changed; its contract is dropped, since it no longer fits."""
    shutil.copytree(folder, target)
    (target / "embedding.json").unlink(missing_ok=True)
    path = target / file
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.is_file() else {}), **changes}))
    return target
