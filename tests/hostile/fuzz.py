"""Broken input by mutation: take something valid, flip, insert, delete, double or cut bytes, and read it.

A target is a seed (files, or words) and a door that reads it. Whatever the bytes, a door may answer or raise
VecsmithError; anything else is a failure, and so is a run over `SECONDS` or beyond `MEMORY`.

    python tests/hostile/fuzz.py --seconds 60 [--only NAME] [--seed 1]    a table of inputs tried and refused
"""

import argparse
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vecsmith.errors import VecsmithError

__all__ = ["Target", "Tried", "mutate", "try_one", "try_seconds"]

SECONDS = 20  # of one input, far above what any takes
MEMORY = 12 << 30  # bytes of address space
WORDS = [b"-1", b"0", b"1e999", b"NaN", b"null", b"[]", b"{}", b'""', b'"', b"'", b",", b"\t", b"\n", b"\r\n", b"\0", b"\xff",
         b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"../", b"\\ud800", b"<!--", b"]]>", b"&#x110000;",
         b"99999999999999999999", b"(", b")", b"[[[[", b"{{", b"*a", b"&a", b": ", b"- ", b"%s", b"true", b"\x1b[2J"]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """files: name -> bytes, of which one is broken each time; `door` reads the folder that holds them."""

    name: str
    files: dict[str, bytes]
    door: Callable[[Path], object]
    broken: tuple[str, ...] = ()  # the files to break; all where empty
    words: tuple[bytes, ...] = ()  # of its language, to insert
    changes: int = 4  # at most


@dataclass
class Tried:
    """What came of it."""

    name: str
    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


def mutate(data: bytes, draw: random.Random, words: tuple[bytes, ...] = (), changes: int = 4) -> bytes:
    """The bytes with one to `changes` faults in them."""
    broken = bytearray(data)
    for _ in range(draw.randint(1, changes)):
        at = draw.randrange(len(broken) + 1)
        stop = min(len(broken), at + draw.choice((1, 1, 2, 4, 16, 200)))
        kind = draw.randrange(8)
        if kind == 0 and at < len(broken):
            broken[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and at < len(broken):
            broken[at] = draw.randrange(256)
        elif kind == 2:
            del broken[at:stop]
        elif kind == 3:
            broken[at:at] = broken[at:stop] * draw.choice((1, 1, 2, 30))
        elif kind == 4 and draw.random() < 0.3:
            del broken[at:]
        elif kind == 5:
            other = draw.randrange(len(broken) + 1)
            broken[at:stop] = broken[other : other + stop - at]
        else:
            broken[at : at + draw.choice((0, 1, 4))] = draw.choice((*WORDS, *words, *words))
    return bytes(broken)


def try_one(target: Target, folder: Path, draw: random.Random, tried: Tried) -> None:
    """Break one file, read, and put it back."""
    name = draw.choice(target.broken or tuple(target.files))
    data = mutate(target.files[name], draw, target.words, target.changes)
    (folder / name).write_bytes(data)
    start = time.monotonic()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        target.door(folder)
    except VecsmithError as error:
        tried.refused += 1
        if not str(error).strip():
            tried.failures.append(f"{target.name}/{name}: {type(error).__name__} without words\n{data[:2000]!r}")
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  a panic of a Rust library is no Exception
        tried.failures.append(f"{target.name}/{name}:\n{traceback.format_exc()}\n{data[:2000]!r}")
    finally:
        signal.alarm(0)
        (folder / name).write_bytes(target.files[name])
    tried.inputs += 1
    tried.slowest = max(tried.slowest, time.monotonic() - start)


def _too_long(*_: object) -> None:
    raise TimeoutError(f"over {SECONDS} s")


def lay_out(target: Target, folder: Path) -> Path:
    """Write a target's files."""
    for name, data in target.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def try_seconds(target: Target, seconds: float, seed: int = 0, *, most: int | None = None) -> Tried:
    """Broken inputs for so long, at most so many."""
    tried, draw = Tried(target.name), random.Random(f"{seed} {target.name}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = lay_out(target, Path(temporary))
        target.door(folder)  # whole, it is read
        end = time.monotonic() + seconds
        while time.monotonic() < end and (most is None or tried.inputs < most):
            try_one(target, folder, draw, tried)
    return tried


def _in_a_child(family: str, only: str, seconds: float, seed: int, pipe: object) -> None:
    import targets

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for target in getattr(targets, family)():
        if only in target.name:
            pipe.send(try_seconds(target, seconds, seed))  # type: ignore[attr-defined]


def main() -> int:
    """All targets, a process for each family: a crash of a library is a failure too."""
    from targets import FAMILIES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--family", default="", help="families whose name holds this")
    parser.add_argument("--only", default="", help="targets whose name holds this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=3, help="failures printed per target")
    given = parser.parse_args()
    failed = inputs = 0
    for family in (family for family in FAMILIES if given.family in family):
        for tried in _family(family, given):
            failed, inputs = failed + len(tried.failures), inputs + tried.inputs
            print(
                f"{tried.name:<20} {tried.inputs:>8,} inputs {tried.refused:>8,} refused  slowest {tried.slowest:5.2f} "
                f"s  {len(tried.failures)} failures",
                flush=True,
            )
            for words in _different(tried.failures)[: given.show]:
                print(words, flush=True)
    print(f"{inputs:,} inputs, {failed} failures, seed {given.seed}")
    return 1 if failed else 0


def _family(family: str, given: argparse.Namespace) -> Iterator[Tried]:
    here, there = multiprocessing.Pipe()
    arguments = (family, given.only, given.seconds, given.seed, there)
    child = multiprocessing.get_context("spawn").Process(target=_in_a_child, args=arguments)
    child.start()
    there.close()
    while True:
        try:
            yield here.recv()
        except EOFError:
            break
    child.join()
    if child.exitcode:
        yield Tried(family, failures=[f"the process of {family} died ({child.exitcode})"])


def _different(failures: list[str]) -> list[str]:
    """One failure for each place in the code where one was raised."""
    places: dict[str, str] = {}
    for words in failures:
        frames = [line.strip() for line in words.splitlines() if line.startswith('  File "')]
        last = words.rpartition("\n")[0].rpartition("\n")[2][:60] if not frames else frames[-1]
        places.setdefault(last, words)
    return list(places.values())


if __name__ == "__main__":
    sys.exit(main())
