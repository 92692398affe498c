"""Does `vecsmith parity` name each cause that is planted in a folder, an ONNX file and a server?

    python benchmarks/parity_transcript.py [--quick] [--json FILE]

The model is all-MiniLM-L6-v2 with a Dense head of 128 and with prompts. Exit code 1 where a verdict or cause is not the
planted one.
"""

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
HERE = Path(__file__).resolve().parent
PROMPTS = {"query": "query: ", "document": "passage: "}


@dataclass(frozen=True)
class Case:
    """name: what was planted; kind: the cause that must be named, "" for none; words: part of its words."""

    name: str
    kind: str
    words: str
    target: Callable[[], Any]  # a context manager that gives (TARGET, options of `parity`)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a case of each kind of target")
    parser.add_argument("--json", type=Path, help="write a dated summary here")
    arguments = parser.parse_args()
    import torch
    from _side_by_side import write_result

    from vecsmith.models.load import load
    from vecsmith.models.parity import parity

    with tempfile.TemporaryDirectory() as room:
        folder = make_model(Path(room))
        model = load(folder, device="cpu", on_truncation="cut")
        rows = []
        for case in cases(Path(room), folder, model):
            if arguments.quick and case.name not in QUICK:
                continue
            start = time.process_time()
            with case.target() as (target, options):
                report = parity(model, target, **options)
            rows.append(told(case, report, time.process_time() - start, room))
    wrong = [row["case"] for row in rows if not row["as planted"]]
    print(f"{len(rows) - len(wrong)} of {len(rows)} cases were told as planted" + (f"; not: {wrong}" if wrong else ""))
    write_result(arguments.json, "parity_transcript", torch.get_num_threads(), cases=rows)
    return 1 if wrong else 0


QUICK = ("nothing, by sentence-transformers", "nothing, our ONNX file", "nothing, OpenAI", "folder: first token")


def told(case: Case, report: Any, seconds: float, room: str) -> dict[str, Any]:
    """Print a case and give what is kept of it."""
    kind = report.cause.kind if report.cause else ""
    right = (kind == case.kind) and case.words in (report.cause.words if report.cause else report.verdict)
    print(f"# planted: {case.name}{'' if right else '   <- NOT NAMED'}")
    lines = str(report).replace(room, "").splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("verdict"))
    print(
        "\n".join(lines if not case.kind or case.name in QUICK else [lines[0], *lines[first:]]), end="\n\n", flush=True
    )
    found = report.to_dict()
    kept = {name: found[name] for name in ("verdict", "cause", "worst", "tolerance", "notes")}
    return {"case": case.name, "as planted": right, **kept, "cpu_seconds": round(seconds, 1)}


def make_model(room: Path) -> Path:
    """all-MiniLM-L6-v2 -> mean -> Dense of 128 -> Normalize, with prompts."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    from vecsmith.models.names import resolve_name
    from vecsmith.models.save import save

    base = SentenceTransformer(str(resolve_name("all-MiniLM-L6-v2")), device="cpu")
    torch.manual_seed(0)
    modules = [base[0], base[1], Dense(384, 128), base[2]]
    save(SentenceTransformer(modules=modules, device="cpu", prompts=PROMPTS), room / "model", name="minilm-128")
    return room / "model"


def cases(room: Path, folder: Path, model: Any) -> Iterator[Case]:
    """Every kind of target, right and with each fault."""
    yield Case("nothing, by vecsmith", "", "same", still(folder))
    yield Case("nothing, by sentence-transformers", "", "same", still(folder, reader="sentence-transformers"))
    yield Case("nothing, our ONNX file", "", "same", exported(room / "onnx", folder))
    yield Case("nothing, OpenAI", "", "same", served(model.encode, "/v1/embeddings", prompts="text"))
    yield Case("nothing, OpenAI, base64", "", "same",
               served(model.encode, "/v1/embeddings", prompts="text", encoding="base64"))  # fmt: skip
    yield Case("nothing, TEI", "", "same", served(model.encode, "/embed", prompts="text"))
    plain = {"reader": "sentence-transformers"}
    for name, kind, words, plant in FOLDERS:
        yield Case(f"folder: {name}", kind, words, planted(room / name.replace(" ", "-"), folder, plant, **plain))
    for name, kind, words, plant in FOLDERS[:2]:
        yield Case(
            f"ONNX: {name}",
            kind,
            words,
            exported(room / f"onnx-{kind}", planted_copy(room / f"f-{kind}", folder, plant)),
        )
    from vecsmith.models.load import load

    short = load(folder, device="cpu", on_truncation="cut")
    short.max_seq_length = 77
    encode = model.encode
    servers: list[tuple[str, str, str, Callable[[list[str]], Any], str]] = [
        ("texts without prompts", "prompt", "does not add the prompt", encode, "none"),
        ("adds its prompt to prompted texts", "prompt", 'puts its prompt "query"',
         lambda texts: encode(["query: " + text for text in texts]), "text"),
        ("cuts after 77 tokens", "truncation", "cuts inputs after 77 tokens", short.encode, "text"),
        ("drops what is not ASCII", "tokenizer", "not ASCII",
         lambda texts: encode([text.encode("ascii", "ignore").decode() for text in texts]), "text"),
        ("vectors three times as long", "normalisation", "does not normalise", lambda texts: 3 * encode(texts), "text"),
        ("another model", "model", "another model", load("default", device="cpu", truncate_dim=128).encode, "text"),
        ("no prompts and 77 tokens", "prompt", "cuts inputs after 77 tokens", short.encode, "none"),
    ]  # fmt: skip
    for name, kind, words, run, prompts in servers:
        for route in ("/v1/embeddings", "/embed")[: 2 if kind == "prompt" else 1]:
            yield Case(f"server {route}: {name}", kind, words, served(run, route, prompts=prompts))


def _edit(file: str, **changes: Any) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return plant


def _without(number: int) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        listed = json.loads((folder / "modules.json").read_text())
        del listed[number]
        (folder / "modules.json").write_text(json.dumps(listed))

    return plant


def _short(folder: Path) -> None:
    for file, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        _edit(file, **{key: 128})(folder)


def _keep_case(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    _edit("tokenizer_config.json", do_lower_case=False)(folder)


def _half(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in folder.rglob("*.safetensors"):
        tensors = {
            name: value.bfloat16().float() if value.is_floating_point() else value
            for name, value in load_file(file).items()
        }
        save_file(tensors, file, metadata={"format": "pt"})


CLS = {"pooling_mode": "cls", "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
FOLDERS: list[tuple[str, str, str, Callable[[Path], None]]] = [
    (
        "first token",
        "pooling",
        "takes the first token ([CLS]) instead of the mean",
        _edit("1_Pooling/config.json", **CLS),
    ),
    ("not normalised", "normalisation", "does not normalise", _without(3)),
    ("no prompts", "prompt", "does not add the prompt", _edit("config_sentence_transformers.json", prompts={})),
    ("cut after 128 tokens", "truncation", "cuts inputs after 128 tokens", _short),
    ("no Dense head", "dense", "leaves out the Dense module 2", _without(2)),
    ("case kept", "tokenizer", "does not lower-case", _keep_case),
    ("weights rounded to bfloat16", "precision", "the size that", _half),
]


def still(folder: Path, **options: Any) -> Callable[[], Any]:
    return lambda: nullcontext((str(folder), options))


def planted_copy(target: Path, folder: Path, plant: Callable[[Path], None]) -> Path:
    shutil.copytree(folder, target)
    (target / "embedding.json").unlink()
    plant(target)
    return target


def planted(target: Path, folder: Path, plant: Callable[[Path], None], **options: Any) -> Callable[[], Any]:
    return lambda: nullcontext((str(planted_copy(target, folder, plant)), options))


def exported(target: Path, folder: Path) -> Callable[[], Any]:
    def make() -> Any:
        from vecsmith.models.export.onnx import export_onnx

        export_onnx(folder, target)
        return nullcontext((str(target), {}))

    return make


def served(encode: Callable[[list[str]], Any], route: str, **options: Any) -> Callable[[], Any]:
    spec = importlib.util.spec_from_file_location("embedding_server", HERE.parent / "tests" / "embedding_server.py")
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    @contextmanager
    def run() -> Iterator[tuple[str, dict[str, Any]]]:
        with module.serving(encode) as server:
            yield server.url + route, options

    return run


if __name__ == "__main__":
    sys.exit(main())
