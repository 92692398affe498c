"""Shards that resume: killed, refused, full disk, tampered."""

import errno
import fcntl
import json
import random
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from vecsmith import atomic
from vecsmith.contract.contract import Contract
from vecsmith.errors import ContractError, Damaged, DataError, DiskFull, Locked, UsageError
from vecsmith.models import shards as shards_module
from vecsmith.models import torch_encoder
from vecsmith.models.encoder import open_encoder
from vecsmith.models.load import load
from vecsmith.models.recent import Recent
from vecsmith.models.shards import Shards, encode_to

ROWS = [f"row {row} of the stone bridge {row * row}" for row in range(57)]


@pytest.fixture(scope="module")
def encoder(static_folder):
    return open_encoder(static_folder)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_hold_the_rows_in_order(encoder, tmp_path):
    done = encode_to(encoder, (text for text in ROWS), tmp_path / "v", shard_rows=10)
    assert [len(shard) for shard in done] == [10, 10, 10, 10, 10, 7]
    assert (done.rows, len(done), done.width) == (57, 57, 24)
    assert np.array_equal(done.array(), encoder.encode(ROWS))
    again = Shards.open(tmp_path / "v")
    again.verify()
    assert np.array_equal(again.array(), done.array())
    assert Contract.read(tmp_path / "v").fingerprint == encoder.contract.fingerprint


@pytest.mark.parametrize("count", [0, 9, 10, 20])
def test_any_number_of_rows_is_finished(encoder, tmp_path, count):
    assert encode_to(encoder, ROWS[:count], tmp_path, shard_rows=10).rows == count
    assert Shards.open(tmp_path).array().shape == (count, 24)


def test_a_finished_folder_is_left_alone(encoder, tmp_path):
    encode_to(encoder, ROWS, tmp_path, shard_rows=10)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    encode_to(encoder, ROWS, tmp_path, shard_rows=33)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_run_that_broke_off_goes_on_without_encoding_twice(encoder, tmp_path):
    def broken():
        yield from ROWS[:35]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_to(encoder, broken(), tmp_path, shard_rows=10)
    with pytest.raises(Damaged, match=r"is not finished: 30 rows so far; run the same encode command again"):
        Shards.open(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    done = encode_to(encoder, ROWS, tmp_path, shard_rows=10)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert len(before) == 3
    assert before.items() <= after.items()
    assert np.array_equal(done.array(), encoder.encode(ROWS))


def test_a_writer_killed_at_any_moment_loses_and_doubles_no_row(static_folder, encoder, tmp_path):
    command = [
        sys.executable,
        str(Path(__file__).with_name("encode_slowly.py")),
        str(static_folder),
        str(tmp_path / "v"),
    ]
    killed = 0
    for turn in range(10):
        process = subprocess.Popen([*command, str(len(ROWS)), "0.004"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(random.Random(turn).uniform(0, 0.3))
        killed += process.poll() is None
        process.kill()
        process.communicate()
        if (tmp_path / "v" / "manifest.json").exists():
            manifest = json.loads((tmp_path / "v" / "manifest.json").read_text())
            for number, entry in enumerate(manifest["shards"]):
                held = np.load(tmp_path / "v" / entry["file"], allow_pickle=False)
                assert np.array_equal(held, encoder.encode(ROWS[number * 10 : number * 10 + entry["rows"]]))
    assert killed >= 3
    subprocess.run([*command, str(len(ROWS)), "0"], check=True)
    done = Shards.open(tmp_path / "v")
    done.verify()
    assert np.array_equal(done.array(), encoder.encode(ROWS))
    assert not [path for path in (tmp_path / "v").iterdir() if ".tmp-" in path.name]


def test_another_model_prompt_or_width_is_refused(encoder, static_folder, make_static, tmp_path):
    encode_to(encoder, ROWS[:20], tmp_path, prompt="query", shard_rows=10)
    before = files(tmp_path)
    with pytest.raises(ContractError, match="was begun with the prompt 'query: ', not ''"):
        encode_to(encoder, ROWS[:20], tmp_path)
    with pytest.raises(ContractError, match=r"was begun with the model model \(\w{12}, 24 wide\), not"):
        encode_to(open_encoder(make_static(prompts={"query": "query: "})), ROWS[:20], tmp_path, prompt="query")
    with pytest.raises(ContractError, match="8 wide"):
        encode_to(open_encoder(static_folder, truncate_dim=8), ROWS[:20], tmp_path, prompt="query")
    with pytest.raises(ContractError, match="on_truncation='warn', not 'chunk'"):
        encode_to(encoder, ROWS[:20], tmp_path, prompt="query", on_truncation="chunk")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([*ROWS[:12], "another", *ROWS[13:20]], "the inputs between rows 11 and 20 are not those"),
        (ROWS[:15], "the inputs between rows 11 and 20 are not those"),
        (ROWS[:21], "was finished with 20 inputs and now there are more"),
    ],
)
def test_other_inputs_are_refused(encoder, tmp_path, inputs, words):
    encode_to(encoder, ROWS[:20], tmp_path, shard_rows=10)
    with pytest.raises(DataError, match=words):
        encode_to(encoder, inputs, tmp_path, shard_rows=10)


def test_moving_a_border_between_two_texts_is_another_input(encoder, tmp_path):
    encode_to(encoder, ["ab", "c"], tmp_path)
    with pytest.raises(DataError, match="not those"):
        encode_to(encoder, ["a", "bc"], tmp_path)


def test_a_full_disk_keeps_what_was_finished(encoder, tmp_path, monkeypatch):
    written = []
    real = atomic.open_atomic

    def counted(path, *args, **options):
        if Path(path).suffix == ".npy":
            written.append(path)
            if len(written) == 3:
                Path(path).with_name(f"{Path(path).name}.tmp-1-half").write_bytes(b"half")
                with atomic.disk_errors(path):
                    raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *args, **options)

    monkeypatch.setattr(shards_module, "open_atomic", counted)
    with pytest.raises(DiskFull, match=r"no space left on device.*Make room, then run the same command again"):
        encode_to(encoder, ROWS, tmp_path, shard_rows=10)
    assert len(json.loads((tmp_path / "manifest.json").read_text())["shards"]) == 2
    monkeypatch.setattr(shards_module, "open_atomic", real)
    assert np.array_equal(encode_to(encoder, ROWS, tmp_path, shard_rows=10).array(), encoder.encode(ROWS))


def test_a_real_limit_on_file_size_reads_as_a_full_disk(static_folder, tmp_path):
    program = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from vecsmith.errors import DiskFull\n"
        "from vecsmith.models.encoder import open_encoder\n"
        "from vecsmith.models.shards import encode_to\n"
        f"encoder = open_encoder({str(static_folder)!r})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "try:\n"
        f"    encode_to(encoder, [str(row) for row in range(100)], {str(tmp_path / 'v')!r})\n"
        "except DiskFull as error:\n"
        "    print('refused', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused")
    assert "vectors-000000.npy" in done.stdout
    assert not list((tmp_path / "v").glob("vectors*"))


def test_two_writers_of_one_folder_are_one_too_many(encoder, tmp_path):
    with open(tmp_path / "LOCK", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Locked, match="another process is encoding into"):
            encode_to(encoder, ROWS, tmp_path)
    assert encode_to(encoder, ROWS, tmp_path).rows == 57


def test_a_folder_with_other_files_is_refused(encoder, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds other files \(thesis.txt, ...\) and no manifest.json"):
        encode_to(encoder, ROWS, tmp_path)


def test_a_changed_or_missing_shard_is_damage(encoder, tmp_path):
    encode_to(encoder, ROWS, tmp_path, shard_rows=10)
    shard = tmp_path / "vectors-000002.npy"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + b"\x00")
    with pytest.raises(Damaged, match=r"vectors-000002.npy was changed after it was written"):
        Shards.open(tmp_path).verify()
    shard.unlink()
    for use in (lambda: Shards.open(tmp_path), lambda: encode_to(encoder, ROWS, tmp_path)):
        with pytest.raises(Damaged, match=r"vectors-000002.npy is missing or cut short"):
            use()


def test_what_is_no_folder_of_vectors_says_so(tmp_path):
    with pytest.raises(DataError, match=r"no manifest.json; vectors are written by vecsmith encode"):
        Shards.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(Damaged, match="cannot be read"):
        Shards.open(tmp_path)


def test_a_bad_input_in_a_late_shard_is_named_by_its_row(encoder, tmp_path):
    with pytest.raises(DataError, match="row 24: a int where text is expected"):
        encode_to(encoder, [*ROWS[:23], 5], tmp_path, shard_rows=10)
    with pytest.raises(UsageError, match="pass an iterable"):
        encode_to(encoder, "text", tmp_path)


def test_a_loaded_model_writes_the_same_folder(static_folder, encoder, tmp_path):
    model = load(static_folder, device="cpu")
    done = model.encode_to(iter(ROWS[:20]), tmp_path, prompt="query", shard_rows=8)
    assert np.abs(done.array() - encoder.encode_query(ROWS[:20])).max() <= 2e-6


def test_memory_does_not_grow_with_the_stream(encoder, tmp_path):
    def peak(count: int) -> int:
        tracemalloc.start()
        encode_to(encoder, (" ".join(f"row {row}") for row in range(count)), tmp_path / str(count), shard_rows=500)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(500)
    assert peak(6_000) < 1.3 * peak(1_500)


def test_copies_in_different_shards_are_encoded_once(tmp_path, minilm_folder, monkeypatch):
    model = load(minilm_folder, device="cpu", on_truncation="cut").save(str(tmp_path / "model"))
    model = load(tmp_path / "model", device="cpu", on_truncation="cut")
    seen = []
    plain = torch_encoder._Ids.embed
    monkeypatch.setattr(torch_encoder._Ids, "embed", lambda self, rows: seen.append(len(rows)) or plain(self, rows))
    rows = ["one", "two", "three", "one", "four", "two", "two", "five", "word " * 300, "word " * 300]
    shards = model.encode_to(rows, tmp_path / "out", shard_rows=3)
    assert sum(seen) == len(set(rows))
    assert np.abs(shards.array() - model.encode(rows)).max() <= 2e-6
    assert shards.counts.truncated == 2


@pytest.mark.parametrize("room", [1, 3, 100])
def test_what_was_seen_lately_is_remembered_within_bounds(room):
    recent = Recent(2, size=8 * room)
    vectors = {str(number): np.full(2, number, dtype=np.float32) for number in range(7)}
    for text, vector in vectors.items():
        recent.add([text], vector[None])
        rows, found = recent.find(list(vectors))
        assert len(rows) <= room
        assert all((found[at] == vectors[str(row)]).all() for at, row in enumerate(rows))
        assert text in {str(row) for row in rows}
    recent.add(["a", "b", "c", "d"], np.arange(8, dtype=np.float32).reshape(4, 2))
    assert recent.find(["d"])[1].tolist() == [[6, 7]]
