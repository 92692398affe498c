"""`vecsmith replicate`: run a published method's replication, in a checkout of the source."""

import json as json_module
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli.options import JSON, progress_for
from vecsmith.errors import UsageError

__all__ = ["checkout", "command"]


def command(
    key: Annotated[str, typer.Argument(help='A method of "vecsmith methods", or "all" that have a replication.')],
    seeds: Annotated[int, typer.Option(help="How many; fewer than 3 are no evidence.", min=1)] = 3,
    work: Annotated[Path | None, typer.Option(help="Where vectors and finished arms are kept; resumes there.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where real data sets lie; else VECSMITH_DATA.")] = None,
    quick: Annotated[bool, typer.Option(help="A tiny scale that only tries the machinery; writes nothing.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Run, print the table, write no evidence.")] = False,
    json: JSON = False,
) -> None:
    """Run a replication and write its evidence, page and picture into the checkout.

    \b
    vecsmith replicate kalm_v2
    vecsmith replicate all --work replication-work
    """
    root = checkout()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    from replications.bench.job import Job
    from replications.bench.page import table
    from replications.bench.run import keys, replicate

    work = work or Path(tempfile.gettempdir()) / "vecsmith-replications"
    data = data_root or (Path(os.environ["VECSMITH_DATA"]) if "VECSMITH_DATA" in os.environ else None)
    found = []
    for each in keys() if key == "all" else [key]:
        job = Job(each, list(range(1, seeds + 1)), work, quick=quick, data=data, progress=progress_for(json))
        evidence = replicate(job, root=root, write=not dry_run)
        found.append(evidence)
        if not json:
            print(table(evidence), end="\n\n", flush=True)
    if json:
        print(json_module.dumps(found if key == "all" else found[0], indent=2, ensure_ascii=False))


def checkout() -> Path:
    """The source tree that holds `replications/`: that of the package, else the current folder or one above it.

    raises   UsageError: there is none, as in an installed wheel
    """
    package = Path(__file__).resolve().parents[3]
    for folder in (package, Path.cwd(), *Path.cwd().parents):
        if (folder / "replications" / "bench" / "run.py").is_file():
            return folder
    raise UsageError(
        "replications are run in a checkout of the source, and none is here: neither the package nor the current "
        "folder lies in one. Clone the repository, then: pip install -e '.[dev]' and run the command there. "
        "Committed results: vecsmith methods"
    )
