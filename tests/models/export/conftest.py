"""Small random transformers saved by sentence-transformers, and their exports, made once."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vecsmith.models.export.onnx import ExportedModel, export_onnx


def small_model(folder: Path, tokenizer_file: Path, *, family: str, pooling: str, dense: int | None) -> Path:
    """One layer, 32 wide, 64 tokens; saved by plain sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    torch.manual_seed(7)
    names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_file),
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=names if family == "bert" else names[::2],
    )
    shape = {
        "vocab_size": 30522,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 80,
    }
    if family == "bert":
        network = BertModel(BertConfig(**shape))
    else:
        network = RobertaModel(RobertaConfig(**shape, pad_token_id=0, type_vocab_size=1))
    for parameter in network.parameters():  # drawn small by default: all texts would be nearly alike
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    raw = folder / "raw"
    network.save_pretrained(raw)
    tokenizer.save_pretrained(raw)
    modules: list[torch.nn.Module] = [Transformer(str(raw), max_seq_length=64), Pooling(32, pooling_mode=pooling)]
    if dense is not None:
        modules.append(Dense(32, dense))
    modules.append(Normalize())
    model = SentenceTransformer(modules=modules, device="cpu", prompts={"query": "find: ", "passage": "text: "})
    model.save(str(folder / "model"), create_model_card=False)
    return folder / "model"


@pytest.fixture(scope="session")
def make_small(tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path) -> Callable[..., Path]:
    def make(family: str = "bert", pooling: str = "mean", dense: int | None = None) -> Path:
        folder = tmp_path_factory.mktemp(family)
        return small_model(folder, minilm_folder / "tokenizer.json", family=family, pooling=pooling, dense=dense)

    return make


@pytest.fixture(scope="session")
def bert(make_small: Callable[..., Path]) -> Path:
    """BERT, mean; read only."""
    return make_small()


@pytest.fixture(scope="session")
def exported_bert(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    pytest.importorskip("onnxscript", reason='needs the extra "onnx"')
    return export_onnx(bert, tmp_path_factory.mktemp("onnx") / "bert")


@contextmanager
def traced_before(exported: ExportedModel) -> Iterator[None]:
    """Exports of the same model take its graph from here: tracing it takes most of the time of an export."""

    def write(model: object, file: Path) -> None:
        shutil.copyfile(exported.folder / "model.onnx", file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vecsmith.models.export.graph.write_graph", write)
        yield


@pytest.fixture
def graph_of_bert(exported_bert: ExportedModel) -> Iterator[None]:
    with traced_before(exported_bert):
        yield


@pytest.fixture(scope="session")
def int8_bert(bert: Path, exported_bert: ExportedModel, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    with traced_before(exported_bert):
        return export_onnx(bert, tmp_path_factory.mktemp("int8") / "bert", dtype="int8")
