"""The grid of layers and widths: a figure per cell, texts encoded once, cells equal to those of shrunk models."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from vecsmith.errors import UsageError
from vecsmith.evaluation.layer_grid import layer_grid
from vecsmith.models.export.shrink import shrink

WORDS = ["a", "stone", "bridge", "crosses", "the", "old", "river", "near", "seven", "quiet", "villages"]
QUERIES = ["stone bridge", "old river", "quiet villages"]
DOCUMENTS = ["a bridge near the river", "the old stone", "seven villages"]


@pytest.fixture
def model(tmp_path):
    """A random BERT of three layers and width 16."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(tmp_path)
    return SentenceTransformer(modules=[Transformer(str(tmp_path)), Pooling(16, "mean"), Normalize()], device="cpu")


def judge(encode):
    return (encode(QUERIES) * encode(DOCUMENTS)).sum(axis=1)


def test_every_cell_is_the_judgement_of_the_shrunk_model(model):
    grid = layer_grid(model, judge, widths=[16, 5])
    assert grid.layers == (1, 2, 3)
    for layer, width in grid.found:
        short = shrink(model, layers=layer, width=width)
        expected = judge(lambda texts, short=short: short.encode(texts))
        assert np.abs(grid.found[layer, width] - expected).max() < 2e-6
        assert grid[layer, width] == pytest.approx(expected.mean(), abs=2e-6)


def test_widths_are_halved_to_eight_where_none_are_given_and_the_table_has_a_line_per_layer(model):
    lines = str(layer_grid(model, judge, layers=[3, 1])).splitlines()
    assert lines[0].split() == ["layer", "16", "8"]
    assert [line.split()[0] for line in lines[1:]] == ["3", "1"]
    assert all(len(line) == len(lines[0]) for line in lines)


def test_a_judge_may_return_one_number(model):
    assert layer_grid(model, lambda encode: 0.25, layers=[2], widths=[8])[2, 8] == 0.25


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": [4]}, "layer 4 is none of this model; it has 1 to 3"),
        ({"widths": [17]}, "width 17 is none of this model; it has 1 to 16"),
    ],
)
def test_cells_that_a_model_has_not_are_refused(model, options, words):
    with pytest.raises(UsageError, match=words):
        layer_grid(model, judge, **options)


def test_a_static_model_has_no_grid():
    from vecsmith.models.load import load

    with pytest.raises(UsageError, match="this model has no layers"):
        layer_grid(load("default"), judge)
