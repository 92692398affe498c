"""A small static model, a small transformer, and a small real dataset: docstrings of the standard library."""

import ast
import json
import sysconfig
from pathlib import Path

import pytest

from vecsmith.data.dataset import Dataset


def pairs(limit):
    """(words of a name, first line of its docstring, file) from a few files of the standard library."""
    root, found = Path(sysconfig.get_paths()["stdlib"]), []
    for name in ("argparse", "email/message", "pathlib", "tarfile", "zipfile", "subprocess", "typing", "statistics"):
        file = next((each for each in (root / f"{name}.py", root / name / "__init__.py") if each.exists()), None)
        if file is None:
            continue
        functions = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
        found += [
            (node.name.replace("_", " "), text.splitlines()[0], name)
            for node in functions
            if (text := ast.get_docstring(node)) and node.name[0] != "_"
        ]
    return found[:limit]


@pytest.fixture(scope="session")
def dataset():
    """About 200 retrieval records."""
    with Dataset.build(name="docstrings") as builder:
        for query, text, group in pairs(200):
            builder.add_record(query=query, positives=[text], group=group)
        return builder.finish()


@pytest.fixture(scope="session")
def tokenizer_words():
    return sorted({word for query, text, _ in pairs(200) for word in f"{query} {text}".lower().split()})


@pytest.fixture
def static_model(tokenizer_words):
    """A StaticEmbedding of width 16 over whole words, seeded."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    weights = torch.randn(len(tokenizer_words) + 1, 16, generator=torch.Generator().manual_seed(0))
    return SentenceTransformer(
        modules=[StaticEmbedding(word_tokenizer(tokenizer_words), embedding_weights=weights)], device="cpu"
    )


def word_tokenizer(words):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {"[UNK]": 0, **{word: number + 1 for number, word in enumerate(words)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.WhitespaceSplit()
    return tokenizer


@pytest.fixture
def transformer_folder(tmp_path, tokenizer_words):
    """A random BERT of two layers and width 16, with dropout 0.1, saved as a sentence-transformers folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path / "bert"
    folder.mkdir()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *tokenizer_words]), encoding="utf-8")
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(special) + len(tokenizer_words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["BertModel"]}))
    transformer = Transformer(str(folder), max_seq_length=32)
    model = SentenceTransformer(modules=[transformer, Pooling(16, "mean"), Normalize()], device="cpu")
    model.save(str(tmp_path / "model"))
    return tmp_path / "model"


@pytest.fixture
def write_recipe(tmp_path):
    """Write a recipe file from a text and return its path."""

    def write(text, name="recipe.yaml"):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return write


RECIPE = """\
name: small
seed: 3
stages:
  - name: fit
    objective:
      retrieval: [{info_nce: {temperature: 0.05}}]
    train: {per_device_train_batch_size: 16, num_train_epochs: 2, learning_rate: 0.01}
"""


@pytest.fixture
def recipe_text():
    return RECIPE
