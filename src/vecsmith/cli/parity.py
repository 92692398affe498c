"""`vecsmith parity`: does another program give this model's vectors, and if not, why."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vecsmith.cli.options import JSON, progress_for

__all__ = ["command"]

MOST_TEXTS = 1_000
MOST_BYTES = 16 << 20


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or a name.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="A model folder, an .onnx file, http(s)://HOST..., or python:MODULE:OBJECT."
        ),
    ],
    reader: Annotated[str, typer.Option(help="Opens a folder: vecsmith or sentence-transformers.")] = "vecsmith",
    texts: Annotated[Path | None, typer.Option(help="More texts to compare, one a line, at most 1,000.")] = None,
    dtype: Annotated[
        str, typer.Option(help="How TARGET computes: float32, float16, bfloat16, int8. Decides what is equal.")
    ] = "float32",
    dialect: Annotated[str, typer.Option(help="Of a server: openai (/v1/embeddings), tei (/embed) or auto.")] = "auto",
    prompts: Annotated[
        str, typer.Option(help="Of a server: none sends texts alone, text puts the prompt first, name sends its name.")
    ] = "none",
    model_name: Annotated[str | None, typer.Option(help="The model's name at the server.")] = None,
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the server's key; never the key.")
    ] = None,
    header_env: Annotated[
        list[str] | None, typer.Option(metavar="HEADER=NAME", help="A header and the variable with its value.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of OpenAI answers: float or base64.")] = "float",
    batch_size: Annotated[int, typer.Option(help="Texts of one request.")] = 16,
    timeout: Annotated[float, typer.Option(help="Seconds of one request.")] = 60.0,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that lies in TARGET's folder.")
    ] = False,
    as_json: JSON = False,
) -> int:
    """Say whether another program gives this model's vectors, and why not; exit code 1 on a difference.

    \b
    vecsmith parity default out/model --reader sentence-transformers
    vecsmith parity all-MiniLM-L6-v2 http://localhost:8080 --token-env KEY
    """
    from vecsmith.models.parity import parity

    options: dict[str, Any] = {}
    if target.startswith(("http://", "https://")):
        options = {
            "dialect": dialect,
            "model_name": model_name,
            "prompts": prompts,
            "token_env": token_env,
            "header_env": _pairs(header_env or []),
            "encoding": encoding,
            "batch_size": batch_size,
            "timeout_seconds": timeout,
        }
    report = parity(
        model,
        target,
        texts=_lines(texts) if texts is not None else (),
        dtype=dtype,
        reader=reader,
        trust_remote_code=trust_remote_code,
        progress=progress_for(as_json),
        **options,
    )
    print(json.dumps(report.to_dict(), ensure_ascii=False, allow_nan=False) if as_json else report)
    return 0 if report.same else 1


def _pairs(given: list[str]) -> dict[str, str]:
    """HEADER=NAME -> {header: name}."""
    from vecsmith.errors import UsageError

    pairs = {}
    for words in given:
        header, sign, variable = words.partition("=")
        plain = header.replace("-", "").replace("_", "").isalnum() and variable.isidentifier()
        if not sign or not plain:
            # What was typed may be the secret itself, so it is not shown.
            raise UsageError(
                "--header-env takes HEADER=NAME, the name of an environment variable, e.g. X-Api-Key=MY_KEY"
            )
        pairs[header] = variable
    return pairs


def _lines(path: Path) -> list[str]:
    from vecsmith.errors import DataError, LimitExceeded

    if not path.is_file():
        raise DataError("no such file; it holds one text a line", file=path)
    if path.stat().st_size > MOST_BYTES:
        raise LimitExceeded(f"{path} has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are compared")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"byte {error.start + 1} is no UTF-8", file=path) from error
    if len(lines) > MOST_TEXTS:
        raise LimitExceeded(f"{path} has {len(lines):,} lines; at most {MOST_TEXTS:,} are compared: head -{MOST_TEXTS}")
    return lines
