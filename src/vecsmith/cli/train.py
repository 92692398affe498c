"""`vecsmith train`: a recipe in, a model folder out."""

import json as json_module
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from vecsmith.cli.options import JSON, progress_for
from vecsmith.errors import UsageError

__all__ = ["command"]


def command(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that ships with vecsmith.")],
    output: Annotated[Path | None, typer.Option(help="The model folder to make.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where bare names of data lie; else VECSMITH_DATA.")] = None,
    profile: Annotated[str | None, typer.Option(help="One of the recipe's profiles.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a.b=c over the recipe; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Check all of it, print the plan and write nothing.")] = False,
    force: Annotated[bool, typer.Option(help="Start over a run of another recipe or other data.")] = False,
    json: JSON = False,
) -> int:
    """Train a model by a recipe.

    \b
    vecsmith train recipe.yaml --output out/model
    vecsmith train forge --set "data=[{path: docstrings:stdlib}]" --output out

    The same command goes on where it was interrupted. With several processes:
    torchrun --nproc_per_node 2 -m vecsmith train ...
    """
    from vecsmith.training.recipe import load_recipe

    progress = progress_for(json)
    loaded = load_recipe(recipe, profile, set_ or (), data_root)
    if dry_run:
        from vecsmith.training.plan import plan

        _print_plan(plan(loaded, progress=progress), json)
        return 0
    if output is None:
        raise UsageError("name the folder to make: --output DIR (or --dry-run to see the plan)")
    from vecsmith.forging.train import train

    folder = output
    train(loaded, output=output, force=force, progress=progress)
    if os.environ.get("RANK", "0") != "0":
        return 0  # under torchrun the first process speaks for all
    stages = json_module.loads((folder / "training.json").read_text(encoding="utf-8"))["stages"]
    if json:
        print(json_module.dumps({"output": str(folder), "stages": stages}, indent=2))
    else:
        for stage in stages:
            print(
                f"{stage['name']}: {stage['steps']:,} steps, {stage['pairs']:,} pairs, mean loss {stage['loss']:.3f}, "
                f"{stage['seconds']:.0f} s"
            )
        print(f"{folder}\nNext: vecsmith eval {folder} --suite small_english")
    return 0


def _print_plan(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json_module.dumps(found, indent=2))
        return
    print(f"{found['name']}, from {found['model']}")
    for each in found["data"]:
        lone = f", {each['lone_classes']:,} classes with one text" if each["lone_classes"] else ""
        counts = f"{each['records']:,} records of kind {each['kind']}, {each['usable']:,} usable{lone}"
        print(f"  data   {each['name']}: {counts}")
    for stage in found["stages"]:
        terms = "; ".join(f"{kind}: {' + '.join(names)}" for kind, names in stage["objectives"].items())
        tokens = stage["batch_tokens"]
        size = f"{tokens:,} tokens" if tokens else f"{stage['batch_size']:,}"
        print(
            f"  stage  {stage['name']}: {stage['steps']:,} steps of {size} ({stage['pairs']:,} pairs; "
            f"{stage['left_out']:,} records fill no batch), {terms}"
        )
        if len(stage["epoch"]) > 1:
            shares = ", ".join(f"{name} {each['batches']:,}" for name, each in stage["epoch"].items())
            print(f"         batches of an epoch: {shares}")
        if stage["freeze"]:
            print(f"         not trained: {', '.join(stage['freeze'])}")
