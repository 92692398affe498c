"""Kills, full disks, second writers, readers beside a writer: old generation or new, never between."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vecsmith.errors import DiskFull, Locked
from vecsmith.index.index import Index
from vecsmith.index.lock import WriterLock

WRITER = """
import sys, numpy as np
from vecsmith.index.index import Index
index = Index.open(sys.argv[1])
for step in range(int(sys.argv[2]), 10_000):
    rows = [{"id": f"{step}-{n}", "text": f"word{step}"} for n in range(3)]
    print("start", step, flush=True)
    if step % 4 == 3:
        index.compact()
    elif step % 4 == 2:
        index.delete([f"{step - 2}-{n}" for n in range(3)])
    elif step % 4 == 1:
        rows[0]["id"] = f"{step - 1}-0"
        index.upsert(rows, np.ones((3, 4)))
    else:
        index.add(rows, np.ones((3, 4)))
    print("done", step, flush=True)
"""

READER = """
import sys, time
from collections import Counter
from pathlib import Path
from vecsmith.index.index import Index
seen, last = 0, 0
while not Path(sys.argv[2]).exists():
    index = Index.open(sys.argv[1])
    assert index.generation >= last
    last = index.generation
    hits = index.search("common", 1000, mode="lexical")
    assert len(hits) == len(index) == hits.passing
    batches = Counter(name.partition("-")[0] for name in hits.ids)
    assert set(batches.values()) <= {5}, batches
    seen += 1
print(seen, last)
"""


def state(index: Index) -> dict[str, str]:
    hits = index.search(np.ones(4), 10_000, mode="dense")
    return dict(zip(hits.ids, hits.texts, strict=True))


def model_after(steps: int) -> dict[str, str]:
    """What the writer's first steps leave, by a dict."""
    held: dict[str, str] = {}
    for step in range(steps):
        rows = {f"{step}-{n}": f"word{step}" for n in range(3)}
        if step % 4 == 0:
            held |= rows
        elif step % 4 == 1:
            del rows[f"{step}-0"]
            held |= {**rows, f"{step - 1}-0": f"word{step}"}
        elif step % 4 == 2:
            for n in range(3):
                held.pop(f"{step - 2}-{n}", None)
    return held


def kill_writers(folder: Path, kills: int, seed: int) -> None:
    Index.create(folder, width=4, schema={})
    draw, step = random.Random(seed), 0
    for _ in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(step)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline().startswith("start")
        time.sleep(draw.uniform(0, 0.4))
        writer.kill()
        lines = writer.stdout.read().split("\n")
        writer.stdout.close()
        writer.wait()
        acknowledged = max([int(line.split()[1]) + 1 for line in lines if line.startswith("done")], default=step)
        index = Index.open(folder)
        assert index.verify(deep=True) == []
        held = state(index)
        assert held in (model_after(acknowledged), model_after(acknowledged + 1))
        step = acknowledged if held == model_after(acknowledged) else acknowledged + 1
        index.gc(grace_seconds=0)
        assert not (folder / "tmp").exists()
        used = {live.name for live in index._catalog.pin().segments}
        kept = {path.name for path in (folder / "segments").iterdir()}
        assert used <= kept
        assert len(kept) <= len(used) + 12  # those of the last 5 generations; no orphans pile up


def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_generation(tmp_path):
    kill_writers(tmp_path / "index", kills=10, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_killed_writers_leave_old_or_new(tmp_path, seed):
    kill_writers(tmp_path / "index", kills=50, seed=100 + seed)


def test_four_readers_go_on_while_one_writer_commits(tmp_path):
    folder, stop = tmp_path / "index", tmp_path / "stop"
    index = Index.create(folder, schema={}, durability="none")
    index.add([{"id": f"start-{n}", "text": "common"} for n in range(5)])
    command = [sys.executable, "-c", READER, str(folder), str(stop)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for turn in range(20):
        index.add([{"id": f"{turn}-{n}", "text": "common"} for n in range(5)])
        if turn % 5 == 4:
            index.delete([f"{turn - 1}-{n}" for n in range(5)])
            index.compact()
            index.gc()
        time.sleep(0.02)
    stop.touch()
    for reader in readers:
        output, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors
        seen, last = map(int, output.split())
        assert seen > 0
        assert last <= index.generation


def test_a_second_writer_is_told_who_writes(tmp_path):
    index = Index.create(tmp_path / "index", schema={}, durability="none")
    with WriterLock(index.path):
        for change in (lambda: index.add([{"id": "a", "text": "x"}]), index.compact, index.gc):
            with pytest.raises(Locked, match=rf"process {os.getpid()} on .* has been writing for \d+\.\d s"):
                change()
    assert index.add([{"id": "a", "text": "x"}]) == 1


HOLDER = """
import os, sys, time
from pathlib import Path
from vecsmith.index.lock import WriterLock
with WriterLock(Path(sys.argv[1])):
    if os.fork() == 0:
        print(os.getpid(), flush=True)  # by the child: only now has it closed what it inherited
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""


def test_a_dead_writer_holds_no_lock_though_its_forked_child_lives(tmp_path):
    index = Index.create(tmp_path / "index", schema={}, durability="none")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(index.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(Locked, match=f"process {holder.pid}"):
            index.add([{"id": "a", "text": "x"}])
        holder.kill()
        holder.wait()
        assert index.add([{"id": "a", "text": "x"}]) == 1
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


def test_no_room_at_any_flush_leaves_the_old_generation(tmp_path, monkeypatch):
    index = Index.create(tmp_path / "index", width=4, schema={"year": int})
    index.add([{"id": "a", "text": "x", "year": 1}], np.ones((1, 4)))
    real, before = os.fsync, state(index)
    for failing in range(1, 200):
        calls = Counter()

        def fsync(descriptor, calls=calls, failing=failing):
            calls["fsync"] += 1
            if calls["fsync"] == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        try:
            index.upsert([{"id": "a", "text": "new", "year": 2}, {"id": "b", "text": "y"}], np.ones((2, 4)))
            break
        except DiskFull as error:
            assert "bytes are free" in str(error)  # noqa: PT017
        monkeypatch.setattr(os, "fsync", real)
        again = Index.open(index.path)
        assert (again.generation, state(again)) == (1, before)
        assert not (index.path / "tmp").exists()
        assert len(list((index.path / "segments").iterdir())) == 1
    assert failing > 5
    assert state(Index.open(index.path)) == {"a": "new", "b": "y"}


@pytest.mark.parametrize("room", [100, 1_000, 5_000, 20_000])
def test_files_that_may_not_grow_leave_the_old_generation(tmp_path, room):
    index = Index.create(tmp_path / "index", width=4, schema={})
    rows = [{"id": f"r{n}", "text": f"word{n} " * 20} for n in range(400)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(DiskFull):
            index.add(rows, np.ones((400, 4)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (Index.open(index.path).generation, len(index)) == (0, 0)
    assert not (index.path / "tmp").exists()
    assert index.add(rows, np.ones((400, 4))) == 400
    assert Index.open(index.path).verify(deep=True) == []


def test_an_error_in_the_source_leaves_nothing(tmp_path):
    index = Index.create(tmp_path / "index", schema={}, durability="none")

    def source():
        for n in range(10_000):
            yield {"id": str(n), "text": "x"}
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        index.add(source())
    assert (len(index), Index.open(index.path).generation) == (0, 0)
    assert not list((index.path / "segments").iterdir())


def test_a_reader_holds_what_the_collector_removes(tmp_path):
    index = Index.create(tmp_path / "index", width=4, schema={}, durability="none")
    index.add([{"id": f"r{n}", "text": "x"} for n in range(5)], np.ones((5, 4)))
    held = index.snapshot()
    for turn in range(6):
        index.upsert([{"id": "r0", "text": f"turn {turn}"}], np.ones((1, 4)))
        index.compact()
    assert index.gc().removed == 0  # not yet: the grace period
    assert index.gc(grace_seconds=0).removed > 0
    assert len(list((index.path / "segments").iterdir())) <= 5
    assert state(held) == {f"r{n}": "x" for n in range(5)}
    assert index.verify(deep=True) == []
    assert json.loads((index.path / "LOCK").read_text())["pid"] == os.getpid()
