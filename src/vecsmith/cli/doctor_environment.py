"""Is this machine fit: versions against the tested ranges, extras, the shipped model, room, network."""

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from vecsmith.cli.doctor_folders import model_findings
from vecsmith.cli.finding import Finding, fine, note, problem

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["environment_findings", "extra_findings", "package_findings", "room_findings"]

IMPORTED = ("numpy", "torch", "sentence_transformers")
"""Packages that install yet fail on import where their libraries do not fit the machine."""
DEVELOPERS = ("dev", "docs")
LEAST_DISK, LEAST_MEMORY = 1_000_000_000, 1_000_000_000
REINSTALL = "pip install --force-reinstall --no-deps vecsmith"


def environment_findings() -> Iterator[Finding]:
    """Every check of the environment, in the order people read them."""
    yield _python()
    if _version("packaging") is None:
        yield problem("packaging", "not installed, so versions cannot be compared", "pip install packaging")
    else:
        yield from package_findings(metadata.requires("vecsmith") or [])
        yield from extra_findings(metadata.requires("vecsmith") or [])
    broken = list(_imports())
    yield from broken
    if any(finding.state == "problem" for finding in broken):
        yield note("default model", "not checked: what it needs does not import")
    else:
        yield from _shipped_model()
    yield from room_findings(Path.cwd(), _free_memory())
    yield _network()


def _python() -> Finding:
    words = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {_cores()} cores"
    classifiers = metadata.metadata("vecsmith").get_all("Classifier") or []
    tested = [
        text.rpartition(" ")[2] for text in classifiers if text.startswith("Programming Language :: Python :: 3.")
    ]
    if f"{sys.version_info.major}.{sys.version_info.minor}" in tested:
        return fine("python", words)
    return note("python", f"{words}; tested are {', '.join(tested)}", "where something fails, try one of those")


def package_findings(requirements: list[str]) -> Iterator[Finding]:
    """One finding per core package: its version and the range that was tested."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):  # else of an extra or a platform
            yield _package(requirement)


def _package(requirement: "Requirement") -> Finding:
    tested = _range(requirement)
    wanted = f"{requirement.name}{tested}"
    found = _version(requirement.name)
    if found is None:
        return problem(requirement.name, "not installed", f'pip install "{wanted}"')
    if not requirement.specifier.contains(found, prereleases=True):
        return problem(requirement.name, f"{found}, tested {tested}", f'pip install "{wanted}"')
    return fine(requirement.name, f"{found} (tested {tested})")


def _imports() -> Iterator[Finding]:
    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            package = name.replace("_", "-")
            words = f"installed, but its import fails: {type(error).__name__}: {str(error).splitlines()[0][:160]}"
            yield problem(package, words, f"pip install --force-reinstall {package}")
    if _version("torchvision"):
        words = "installed; a torchvision that does not fit this torch breaks sentence-transformers on import"
        yield note("torchvision", words, "pip uninstall torchvision, if sentence-transformers does not import")


def extra_findings(requirements: list[str]) -> Iterator[Finding]:
    """One finding per extra: present, or what is missing and the pip line."""
    from packaging.requirements import Requirement

    extras: dict[str, list[Requirement]] = {}
    for requirement in map(Requirement, requirements):
        if requirement.marker and "extra" in str(requirement.marker):
            for extra in _names_of(requirement):
                extras.setdefault(extra, []).append(requirement)
    for extra in extras:
        if extra in DEVELOPERS:
            continue
        needed = {part.name: part for part in _expanded(extra, extras)}
        missing = [name for name in needed if _version(name) is None]
        stale = [
            f"{name} {found}, tested {_range(part)}"
            for name, part in needed.items()
            if (found := _version(name)) and not part.specifier.contains(found, prereleases=True)
        ]
        line = f'pip install "vecsmith[{extra}]"'
        if stale:
            yield problem(f"extra {extra}", "; ".join(stale), line)
        elif missing:
            yield note(f"extra {extra}", f"missing: {', '.join(missing)}", line)
        else:
            yield fine(f"extra {extra}", "present")


def _names_of(requirement: "Requirement") -> list[str]:
    """The extras a requirement belongs to: its marker holds for them and not without."""
    text = str(requirement.marker)
    return [part.split('"')[1] for part in text.split("extra ==")[1:]]


def _expanded(
    extra: str, extras: "dict[str, list[Requirement]]", seen: frozenset[str] = frozenset()
) -> "list[Requirement]":
    """The packages of an extra, with those of the extras it names."""
    found: list[Requirement] = []
    for requirement in extras.get(extra, []):
        if requirement.name != "vecsmith":
            found.append(requirement)
            continue
        for inner in sorted(requirement.extras - seen):
            found += _expanded(inner, extras, seen | {extra})
    return found


def _shipped_model() -> Iterator[Finding]:
    from vecsmith.models.names import resolve_name

    folder = resolve_name("default")
    if not folder.is_dir():
        yield problem("default model", f"{folder} is missing from the installation", REINSTALL)
        return
    for finding in model_findings(folder):
        mend = REINSTALL if finding.state == "problem" else finding.mend
        yield Finding(f"default model: {finding.subject}", finding.state, finding.words, mend)


def room_findings(folder: Path, free_memory: int | None) -> Iterator[Finding]:
    """Room on the disk of the working folder, and in memory."""
    free = shutil.disk_usage(folder).free
    words = f"{_gigabytes(free)} free at {folder}"
    mend = f"make room at {folder}, or work in another folder"
    yield fine("disk", words) if free >= LEAST_DISK else problem("disk", f"{words}; 1 GB is the least", mend)
    if free_memory is None:
        yield note("memory", "how much is free cannot be read here")
    elif free_memory >= LEAST_MEMORY:
        yield fine("memory", f"{_gigabytes(free_memory)} free")
    else:
        yield problem("memory", f"{_gigabytes(free_memory)} free; 1 GB is the least", "close other programs")


def _network() -> Finding:
    if os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "TRUE", "True", "ON", "on", "yes"):
        words = "HF_HUB_OFFLINE is set: hub:NAME is fetched from the cache only; folders, default and packages work"
        return note("network", words, "unset HF_HUB_OFFLINE")
    return fine("network", "only hub:NAME needs one; not tried here")


def _range(requirement: "Requirement") -> str:
    """`>=6.2,<7`, the lower end first."""
    return ",".join(sorted(map(str, requirement.specifier), reverse=True))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_memory() -> int | None:
    """Bytes that a process can take now; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
