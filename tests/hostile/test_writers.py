"""Everything that writes: on a full disk, ended by a signal, twice at once; old or new, and run again it goes on."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

FULL = "file too large"
MODULE = [sys.executable, "-m", "vecsmith"]
ROWS = 3_000


def python(*lines: str) -> list[str]:
    """A command that runs lines of Python behind the door of the command line: same errors, same exit codes."""
    body = "\n    ".join(lines)
    code = f"import sys\nimport vecsmith.cli.main as door\ndef job(arguments):\n    {body}\n    return 0\n"
    return [sys.executable, "-c", f"{code}door._dispatch = job\ndoor.main()"]


@dataclass(frozen=True)
class Job:
    """A command that writes `output`, and how its result is held to be whole."""

    command: Callable[[Path], list[str]]
    output: str
    check: Callable[[Path], object]
    full: tuple[int, ...]  # bytes a file may have: at least one of these stops it
    prepare: Callable[[Path], object] = lambda at: None


def check_shards(path: Path) -> int:
    from vecsmith.models.shards import Shards

    shards = Shards.open(path)
    shards.verify()
    assert len(shards) == ROWS
    return len(shards)


def check_index(path: Path) -> int:
    from vecsmith.index.index import Index

    with Index.open(path) as index:
        assert index.verify(deep=True) == []
        assert len(index) % ROWS == 0
        return len(index)


def check_dataset(path: Path) -> str:
    from vecsmith.data.dataset import Dataset

    data = Dataset.open(path)
    assert len(data.documents) == ROWS
    return data.fingerprint()


def check_model(path: Path) -> object:
    from vecsmith.models.encoder import open_encoder

    return open_encoder(path).encode_query(["thing 3"]).tobytes()


def check_forged(path: Path) -> None:
    check_model(path / "model")
    check_any_index(path / "index")
    assert "What serves" in (path / "report.html").read_text(encoding="utf-8")


def check_any_index(path: Path) -> None:
    from vecsmith.index.index import Index

    with Index.open(path) as index:
        assert index.verify(deep=True) == []
        assert len(index) > 0


JOBS = {
    "encode": Job(
        lambda at: [*MODULE, "encode", "default", f"{at}/texts.txt", "--output", f"{at}/v", "--shard-rows", "1000"],
        "v", check_shards, (300, 100_000),
    ),
    "read": Job(
        lambda at: python(
            "import vecsmith as vs",
            f"vs.read('{at}/t.csv', query='question', document='answer', attributes='*', folder='{at}/data', replace=True)",
        ),
        "data", check_dataset, (1_000, 200_000),
    ),
    "index create": Job(
        lambda at: [*MODULE, "index", "create", f"{at}/index", f"{at}/t.csv", "--document", "answer", "--attributes", "question,year"],
        "index", check_index, (10_000, 1_000_000), prepare=lambda at: shutil.rmtree(at / "index", ignore_errors=True),
    ),
    "index add": Job(
        lambda at: [*MODULE, "index", "add", f"{at}/whole", f"{at}/t.csv", "--document", "answer", "--attributes", "question,year", "--upsert"],
        "whole", check_index, (300_000, 1_000_000),
    ),
    "index compact": Job(
        lambda at: [*MODULE, "index", "compact", f"{at}/parts"], "parts", check_any_index, (50_000, 1_000_000),
        prepare=lambda at: (shutil.rmtree(at / "parts", ignore_errors=True), shutil.copytree(at / "two", at / "parts")),
    ),
    "save": Job(
        lambda at: python(
            "import vecsmith as vs", "from vecsmith.models.save import save",
            f"save(vs.load('{at}/static'), '{at}/saved', replace=True)",
        ),
        "saved", check_model, (100, 1_000),
    ),
    "forge": Job(
        lambda at: [*MODULE, "forge", f"{at}/small.csv", "--query", "question", "--document", "answer", "--attributes",
                    "year", "--minutes", "0.05", "--output", f"{at}/out"],
        "out", check_forged, (2_000, 60_000),
    ),
    "train": Job(
        lambda at: [*MODULE, "train", f"{at}/tiny.yaml", "--output", f"{at}/trained"], "trained", check_model, (500, 100_000),
    ),
    "export": Job(
        lambda at: [*MODULE, "export", f"{at}/static", "--to", "static", "--output", f"{at}/exported", "--force"],
        "exported", check_model, (100, 1_000),
    ),
}  # fmt: skip
QUICK = ["encode", "read", "index create", "index add", "index compact"]  # the others load torch

RECIPE = """\
name: tiny
data: [{path: small.csv, columns: {query: question, document: answer, ignore: [year]}}]
stages:
  - name: fit
    objective: {retrieval: [{info_nce: {temperature: 0.05}}]}
    train: {per_device_train_batch_size: 8, max_steps: 30, learning_rate: 0.01, save_steps: 5}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, static_folder):
    """A table, texts, a recipe, a model and an index for every job; each job writes a name of its own."""
    folder = tmp_path_factory.mktemp("writers")
    rows = [f"what is {n}?,thing {n} is number {n * 7},{2000 + n % 20}\n" for n in range(ROWS)]
    (folder / "t.csv").write_text("question,answer,year\n" + "".join(rows))
    (folder / "small.csv").write_text("question,answer,year\n" + "".join(rows[:60]))
    (folder / "texts.txt").write_text("".join(f"thing {n} is number {n * 7}\n" for n in range(ROWS)))
    (folder / "tiny.yaml").write_text(RECIPE)
    shutil.copytree(static_folder, folder / "static")
    made = start(JOBS["index create"].command(folder))
    err = made.communicate()[1]
    assert made.returncode == 0, err
    (folder / "index").rename(folder / "whole")
    from vecsmith.index.index import Index

    shutil.copytree(folder / "whole", folder / "two")
    with Index.open(folder / "two") as index:
        index.delete(where="year > 2004")
        index.add([{"id": f"new{n}", "text": f"new thing {n}", "year": 1, "question": "q"} for n in range(300)])
    return folder


def start(command: list[str], limit: int | None = None) -> subprocess.Popen:
    """Start a command; a file it writes may have at most `limit` bytes."""

    def small_disk() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=small_disk
    )


def whole_or_refused(job: Job, path: Path) -> object:
    """What the output holds; None where there is none or it says that it is not finished."""
    from vecsmith.errors import VecsmithError

    try:
        return job.check(path) if path.exists() else None
    except (VecsmithError, FileNotFoundError):
        return None


def on_a_full_disk(name: str, place: Path) -> None:
    job = JOBS[name]
    job.prepare(place)
    before, stopped = whole_or_refused(job, place / job.output), 0
    for limit in job.full:
        job.prepare(place)
        process = start(job.command(place), limit)
        err = process.communicate(timeout=200)[1]
        assert process.returncode in (0, 6), f"{limit}: {process.returncode} {err}"
        if process.returncode == 6:
            stopped += 1
            assert FULL in err.lower(), err
            assert "Traceback" not in err
        if before is not None:
            assert whole_or_refused(job, place / job.output) is not None
    assert stopped > 0, "no limit was too small"
    finishes(job, place)


def finishes(job: Job, place: Path) -> None:
    """Run again, the command ends well, its result is whole, and no temporary names are left."""
    process = start(job.command(place))
    err = process.communicate(timeout=200)[1]
    assert process.returncode == 0 or "exists already" in err, err
    job.check(place / job.output)
    assert not [path for path in place.rglob("*.tmp-*") if path.parent == place]


def ended_by_signals(name: str, place: Path, turns: int, seed: int) -> None:
    job, draw = JOBS[name], random.Random(f"{name} {seed}")
    job.prepare(place)
    begun = time.monotonic()
    finishes(job, place)
    seconds = time.monotonic() - begun
    for turn in range(turns):
        job.prepare(place)
        process = start(job.command(place))
        time.sleep(draw.uniform(0.3, 1.0) * seconds)
        process.send_signal(signal.SIGTERM if turn % 2 == 0 else signal.SIGINT)
        err = process.communicate(timeout=200)[1]
        assert process.returncode in (0, 143, -signal.SIGTERM, 130, -signal.SIGINT), f"{process.returncode} {err}"
        assert "Traceback" not in err, err
        assert "bug in vecsmith" not in err, err
        whole_or_refused(job, place / job.output)
    finishes(job, place)


@pytest.mark.parametrize("name", QUICK)
def test_a_full_disk_is_named_leaves_what_was_there_and_the_next_run_goes_on(name, place):
    on_a_full_disk(name, place)


@pytest.mark.parametrize("name", QUICK)
def test_a_signal_in_the_middle_leaves_old_or_new(name, place):
    ended_by_signals(name, place, 2, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [name for name in JOBS if name not in QUICK])
def test_a_full_disk_stops_long_jobs_in_words_too(name, place):
    on_a_full_disk(name, place)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", JOBS)
def test_many_signals_leave_old_or_new(name, place):
    ended_by_signals(name, place, 8, seed=1)


@pytest.mark.parametrize("name", ["encode", "index add"])
def test_two_writers_at_once_both_end_in_words_and_one_result_is_whole(name, place):
    job = JOBS[name]
    processes = [start(job.command(place)) for _ in range(2)]
    for process in processes:
        err = process.communicate(timeout=200)[1]
        assert process.returncode in (0, 4), err
        assert "Traceback" not in err
        assert "bug in vecsmith" not in err
    assert 0 in [process.returncode for process in processes]
    job.check(place / job.output)
