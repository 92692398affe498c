"""A model of fewer layers and components: plain sentence-transformers gives the long model's view."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, StaticEmbedding, Transformer

from vecsmith.errors import ParityFailed, UsageError
from vecsmith.models.export.shrink import export_shrunk, shrink, view_vectors
from vecsmith.models.layers import layer_stack, layer_vectors
from vecsmith.models.static import StaticEncoder

TEXTS = ["the cat sat", "a stone bridge crosses the old river", "the", "reset the router and wait"]
WORDS = sorted({word for text in TEXTS for word in text.split()})
SMALL = {"vocab_size": 5 + len(WORDS), "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}

ARCHITECTURES = {
    "bert": {"intermediate_size": 32},
    "roberta": {"intermediate_size": 32, "pad_token_id": 0},
    "mpnet": {"intermediate_size": 32, "pad_token_id": 0},
    "distilbert": {"vocab_size": SMALL["vocab_size"], "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
    "modernbert": {"intermediate_size": 32, "global_attn_every_n_layers": 2, "pad_token_id": 0, "cls_token_id": 2},
    "llama": {"intermediate_size": 32, "num_key_value_heads": 2},
    "qwen2": {"intermediate_size": 32, "num_key_value_heads": 1},
    "qwen3": {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8},
    "gemma3_text": {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 4},
    "gpt2": {"vocab_size": SMALL["vocab_size"], "n_embd": 16, "n_layer": 3, "n_head": 2},
    "deberta-v2": {"intermediate_size": 32, "relative_attention": True, "norm_rel_ebd": "layer_norm"},
}
FINAL_NORM = {"modernbert", "llama", "qwen2", "qwen3", "gemma3_text", "gpt2"}


def tiny(folder, kind, *later, **changed):
    """A random model of three layers, its norms' weights not all 1, behind mean pooling."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    options = ARCHITECTURES.get(kind, {})
    own = "vocab_size" in options
    config = AutoConfig.for_model(kind, **{**({} if own else SMALL), **options, **changed})
    torch.manual_seed(0)
    inner = AutoModel.from_config(config)
    with torch.no_grad():
        for name, weight in inner.named_parameters():
            if "norm" in name.lower():
                weight.add_(torch.rand_like(weight) - 0.5)
    inner.save_pretrained(folder)
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=24)
    return SentenceTransformer(modules=[transformer, Pooling(16, "mean"), *later], device="cpu").eval()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_exported_layers_give_the_view_that_training_sees(kind, tmp_path):
    model = tiny(tmp_path / "inner", kind, Normalize())
    stack = layer_stack(model)
    assert len(stack) == 3
    assert (stack.norm is not None) == (kind in FINAL_NORM)
    shrink(model, layers=2, width=6).save(str(tmp_path / "short"))
    plain = SentenceTransformer(str(tmp_path / "short"), device="cpu")
    config = json.loads((tmp_path / "short" / "config.json").read_text())
    assert 2 in (config.get(name) for name in ("num_hidden_layers", "n_layers", "n_layer"))
    assert len(layer_stack(plain)) == 2
    found = plain.encode(TEXTS)
    expected = layer_vectors(model, TEXTS, [2])[0, :, :6]
    expected = expected / expected.norm(dim=1, keepdim=True)
    assert found.shape == (4, 6)
    assert np.abs(found - expected.numpy()).max() < 2e-6
    assert len(layer_stack(model)) == 3


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_shallow_states_pass_the_final_norm_in_training_as_in_the_exported_model(kind, tmp_path):
    """Against transformers' own record of states, and the same with the norm left out does not hold."""
    model = tiny(tmp_path / "inner", kind)
    features = model.preprocess(TEXTS)
    inputs = {name: features[name] for name in ("input_ids", "attention_mask")}
    state = model[0].model(**inputs, output_hidden_states=True).hidden_states[2]
    mask = features["attention_mask"][:, :, None].float()
    normed, bare = (((each * mask).sum(1) / mask.sum(1)).detach() for each in (model[0].model.norm(state), state))
    found = shrink(model, layers=2).encode(TEXTS, convert_to_tensor=True)
    assert torch.allclose(found, normed, atol=2e-6)
    assert not torch.allclose(found, bare, atol=1e-2)


def test_vectors_after_all_layers_are_those_of_the_model(tmp_path):
    model = tiny(tmp_path / "inner", "bert", Normalize())
    found = layer_vectors(model, TEXTS, [3, 1, 3])
    assert np.abs(found[0].numpy() - model.encode(TEXTS)).max() < 1e-6
    assert torch.equal(found[0], found[2])
    assert not torch.allclose(found[0], found[1], atol=1e-2)


def test_a_dense_layer_between_pooling_and_normalize_is_kept(tmp_path):
    model = tiny(tmp_path / "inner", "bert", Dense(16, 12), Normalize())
    short = shrink(model, layers=1, width=5)
    assert [type(module).__name__ for module in short] == ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]
    assert np.abs(short.encode(TEXTS) - normalised(layer_vectors(model, TEXTS, [1])[0].numpy()[:, :5])).max() < 2e-6


def normalised(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_model_that_does_not_normalise_stays_one_that_does_not(tmp_path):
    model = tiny(tmp_path / "inner", "bert")
    short = shrink(model, layers=1, width=5)
    assert np.abs(short.encode(TEXTS) - layer_vectors(model, TEXTS, [1])[0].numpy()[:, :5]).max() < 2e-6


def test_the_copy_shares_no_weight_with_the_model(tmp_path):
    model = tiny(tmp_path / "inner", "bert")
    before = model.encode(TEXTS)
    with torch.no_grad():
        for weight in shrink(model, layers=2).parameters():
            weight.zero_()
    assert np.array_equal(model.encode(TEXTS), before)


def test_a_static_model_is_cut_in_its_table_and_stays_static(tmp_path):
    from vecsmith.models.load import load

    model = load("default")
    short = shrink(model, width=64)
    assert isinstance(short[0], StaticEmbedding)
    short.save(str(tmp_path / "short"))
    found = StaticEncoder.open(tmp_path / "short").encode(TEXTS)
    assert np.abs(found - normalised(model.encode(TEXTS)[:, :64])).max() < 2e-6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to cut; give a number of layers, a width, or both"),
        ({"layers": 4}, "4 layers are none of this model; it has 1 to 3"),
        ({"layers": 0}, "0 layers are none of this model"),
        ({"width": 17}, "width 17 is none of this model; its vectors have 1 to 16 components"),
    ],
)
def test_what_a_model_has_not_cannot_be_kept(options, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        shrink(tiny(tmp_path / "inner", "bert"), **options)


def test_layers_of_a_static_model_are_refused():
    from vecsmith.models.load import load

    with pytest.raises(UsageError, match="this model has no layers: its first module is StaticEmbedding"):
        shrink(load("default"), layers=1)


def test_shared_layers_cannot_be_left_out(tmp_path):
    model = tiny(tmp_path / "inner", "albert", intermediate_size=32, embedding_size=8)
    with pytest.raises(UsageError, match="AlbertModel has no list of 3 layers of one kind"):
        layer_stack(model)


def test_one_call_writes_a_checked_folder_with_contract_and_lineage(tmp_path):
    from vecsmith.models.load import load
    from vecsmith.models.save import save

    whole = save(tiny(tmp_path / "inner", "bert", Normalize()), tmp_path / "long", name="long")
    made = export_shrunk(tmp_path / "long", tmp_path / "short", layers=2, width=8)
    assert made.report.same
    assert made.contract.fingerprint != whole.fingerprint
    assert made.contract.record["lineage"] == [f"the first 2 layers and 8 components of long ({whole.fingerprint})"]
    again = load(tmp_path / "short")
    assert again.contract.view["width"] == 8
    assert np.allclose(np.linalg.norm(again.encode(TEXTS), axis=1), 1, atol=1e-6)
    with pytest.raises(UsageError, match="exists already"):
        export_shrunk(tmp_path / "long", tmp_path / "short", layers=1)
    export_shrunk(tmp_path / "long", tmp_path / "short", layers=1, replace_folder=True)
    assert len(layer_stack(load(tmp_path / "short"))) == 1


def test_a_folder_whose_vectors_differ_is_not_written(tmp_path, monkeypatch):
    from vecsmith.models.export import shrink as module
    from vecsmith.models.save import save

    save(tiny(tmp_path / "inner", "bert", Normalize()), tmp_path / "long", name="long")
    monkeypatch.setattr(module, "view_vectors", lambda *given: view_vectors(*given) + np.float32(1e-4))
    with pytest.raises(ParityFailed, match="gives other vectors than long after 2 layers"):
        export_shrunk(tmp_path / "long", tmp_path / "short", layers=2)
    assert not (tmp_path / "short").exists()


def test_prompts_that_pooling_leaves_out_are_left_out_of_views_too(tmp_path):
    from vecsmith.models.save import save

    model = tiny(tmp_path / "inner", "bert", Normalize())
    model[1].include_prompt = False
    model.prompts = {"query": "wait the "}
    save(model, tmp_path / "long", name="long")
    assert export_shrunk(tmp_path / "long", tmp_path / "short", layers=2).report.same


def test_the_command_line_writes_the_short_model(tmp_path, capsys):
    from vecsmith.cli.main import run
    from vecsmith.models.save import save

    save(tiny(tmp_path / "inner", "bert", Normalize()), tmp_path / "long", name="long")
    given = ["export", str(tmp_path / "long"), "--layers", "2", "--output", str(tmp_path / "short")]
    assert run([*given, "--width", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"]["verdict"] == "same"
    assert run([*given, "--to", "onnx"]) == 2
    assert "--layers and --width cut a model" in capsys.readouterr().err
