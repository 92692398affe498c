"""`vecsmith export`: a model for other runtimes, checked against the model it was made from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli.options import JSON, progress_for

if TYPE_CHECKING:
    from vecsmith.progress import Progress

__all__ = ["command"]


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or a name.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    to: Annotated[
        str | None,
        typer.Option(help="onnx, openvino, static, or model: the first layers and components, by default if given."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of onnx: float32 or int8.")] = "float32",
    suite: Annotated[
        str | None, typer.Option(help="Measure what int8 or static costs on this suite, for the contract.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task of the suite; may be repeated.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder that the suite's paths start from; else VECSMITH_DATA.")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Of static: a text a line; their words choose and weigh the vocabulary.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Of model: keep the first layers.")] = None,
    width: Annotated[
        int | None, typer.Option(help="Of model: keep the first components. Of static: components, 256 if not given.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace an earlier export in the output folder.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code of MODEL's folder.")] = False,
    as_json: JSON = False,
) -> int:
    """Write a model for another runtime; exit code 1 where its vectors differ.

    \b
    vecsmith export all-MiniLM-L6-v2 --output out/onnx
    vecsmith export out/model --layers 2 --width 48 --output out/short
    """
    from vecsmith.errors import ParityFailed, UsageError

    to = to or ("model" if layers is not None or width is not None else "onnx")
    if to not in TARGETS:
        raise UsageError(f'--to is "{to}"; known: {", ".join(TARGETS)}')
    if (layers is not None and to != "model") or (width is not None and to not in ("model", "static")):
        raise UsageError(f"--layers and --width cut a model: first without --to {to}, then export what that made")
    if dtype != "float32" and to != "onnx":
        raise UsageError(f"--dtype {dtype} is for --to onnx")
    if suite is not None and to != "static" and dtype != "int8":
        raise UsageError("--suite measures what a coarser form costs; it goes with --dtype int8 or --to static")
    progress = progress_for(as_json)
    judge = None if suite is None else _judge(suite, task, data_root, "static" if to == "static" else dtype, progress)
    shared: dict[str, Any] = {
        "replace_folder": force,
        "trust_remote_code": trust_remote_code,
        "progress": progress,
    }
    try:
        if to == "static":
            return _static(model, output, texts, width or 256, judge, shared, as_json)
        if to == "model":
            from vecsmith.models.export.shrink import export_shrunk

            _print_exported(export_shrunk(model, output, layers=layers, width=width, **shared), as_json)
            return 0
        if to == "openvino":
            from vecsmith.models.export.openvino import export_openvino

            found = export_openvino(model, output, **shared)
        else:
            from vecsmith.models.export.onnx import export_onnx

            found = export_onnx(model, output, dtype=dtype, measure=judge, **shared)
    except ParityFailed as error:
        _print_failed(error.report, as_json)
        raise
    _print_exported(found, as_json)
    return 0


TARGETS = ("onnx", "openvino", "static", "model")


def _judge(suite: str, tasks: list[str] | None, data_root: Path | None, name: str, progress: "Progress") -> Any:
    """(model, exported) -> what the exported form costs."""
    from vecsmith.evaluation.loss import loss_of

    def judge(model: Any, exported: Any) -> dict[str, Any]:
        names = ("model" if name == "static" else "float32", name)
        return loss_of(model, exported, suite=suite, tasks=tasks, data_root=data_root, names=names, progress=progress)

    return judge


def _print_failed(report: Any, as_json: bool) -> None:
    print(json.dumps({"report": report.to_dict()}, ensure_ascii=False) if as_json else report)


def _print_exported(found: Any, as_json: bool) -> None:
    contract = found.contract
    quantisation = contract.record.get("quantisation")
    if as_json:
        result = {
            "output": str(found.folder),
            "space": contract.fingerprint,
            "dtype": contract.view["dtype"],
            "quantisation": quantisation,
            "report": found.report.to_dict(),
        }
        print(json.dumps(result, ensure_ascii=False))
        return
    print(found.report)
    print()
    if quantisation is not None:
        _print_loss(quantisation["loss"])
    print(f"{found.folder}: space {contract.fingerprint}, {contract.view['dtype']}")
    print(f"  {contract.describe()}")
    print(f"Next: vecsmith encode {found.folder} texts.txt --output vectors")


def _print_loss(loss: Any) -> None:
    if isinstance(loss, str):
        print(f"{loss}: give --suite small_english --data-root DIR to measure it")
        return
    for name, row in loss.items():
        if not isinstance(row, dict):
            continue
        (before, first), (after, second) = [(key, row[key]) for key in row if key in NAMES]
        ends = "" if row["interval"] is None else f"  [{row['interval'][0]:+.4f}, {row['interval'][1]:+.4f}]"
        change = "" if row["difference"] is None else f"  {row['difference']:+.4f}"
        print(f"{name[:22]:<22} {row['metric']:<10} {before} {first:.4f}, {after} {second:.4f}{change}{ends}")


NAMES = ("model", "float32", "int8", "static")


def _static(
    model: str, output: Path, texts: Path | None, width: int, judge: Any, shared: dict[str, Any], as_json: bool
) -> int:
    from vecsmith.cli.encode import _lines
    from vecsmith.models.export.static import export_static

    lines = None if texts is None else list(_lines(texts))
    found = export_static(model, output, texts=lines, dimension=width, measure=judge, **shared)
    if as_json:
        result = {
            "output": str(found.folder),
            "space": found.contract.fingerprint,
            "same_space": found.is_same,
            "agreement": found.agreement,
            "loss": found.loss,
            "report": None if found.report is None else found.report.to_dict(),
        }
        print(json.dumps(result, ensure_ascii=False))
        return 0
    if found.report is not None:
        print(found.report)
        how = "unchanged bit for bit" if found.is_same else "the same vectors from weights laid out anew"
        print(f"\n{found.folder}: space {found.contract.fingerprint}, {how}")
        return 0
    print(f"An approximation, in a new space, {found.contract.fingerprint}:")
    print(f"  {found.contract.describe()}")
    print("Its vectors cannot be mixed with the model's.")
    print(
        f"Agreement: similarities of pairs among {found.agreement['texts']:,} texts correlate\n"
        f"{found.agreement['correlation']:.3f} with the model's (1 would be perfect)."
    )
    if found.loss is not None:
        _print_loss(found.loss)
    print(f"{found.folder}\nNext: vecsmith eval {model} {found.folder} --suite small_english")
    print("For a better one, train it on your texts: vecsmith train static_distillation --output out/model")
    return 0
