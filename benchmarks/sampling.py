"""How long until the first batch of a million records, and how much memory does an epoch over a large dataset take?

    python benchmarks/sampling.py [--json OUT] [--megabytes 300]

Start: 20 datasets of 50,000 records in memory, to columns, sampler and first batch (goal: under 2 processor seconds),
plain and with every option. Streaming: a dataset of so many megabytes of text on the disk, every batch of an epoch
gathered and its texts read, in a process of its own. What grows with the text is mapped pages, which the system takes
back when it needs them; what counts is the memory that it cannot take back (RssAnon), above that of the same process
before the dataset was opened.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _side_by_side import processor_class, write_result

from vecsmith.data.batch import gather_batch
from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.data.layout import INPUTS, RECORDS
from vecsmith.data.sampler import EpochSampler, Source

SETS, RECORDS_EACH, BATCH = 20, 50_000, 256


def main() -> int:
    """Measure both, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--iterate", type=Path, default=None, help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.iterate:
        iterate(arguments.iterate)
        return 0
    print(processor_class())
    start = starts()
    for name, seconds in start.items():
        print(f"{name:<36} {seconds:.2f} s")
    memory = streaming(arguments.megabytes)
    print(
        f"text on the disk {memory['text_megabytes']:.0f} MB, {memory['records']:,} records; memory of an epoch: "
        f"{memory['anonymous_megabytes']:.0f} MB its own, {memory['mapped_megabytes']:.0f} MB mapped pages, "
        f"{memory['seconds']:.1f} s"
    )
    write_result(arguments.json, "sampling", 1, goals={"start_seconds": 2.0}, start=start, streaming=memory)
    return 0


def starts() -> dict[str, float]:
    """Processor seconds to the first batch."""
    sets = [memory_dataset(RECORDS_EACH) for _ in range(SETS)]
    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for _ in range(5):
        begin = time.process_time()
        columns = [RecordColumns(each) for each in sets]
        found.setdefault("columns", []).append(time.process_time() - begin)
        tokens = [random.integers(5, 500, RECORDS_EACH) for _ in columns]
        groups = [random.integers(0, RECORDS_EACH // 4, RECORDS_EACH) for _ in columns]
        ways: dict[str, dict[str, Any]] = {
            "plain": {},
            "temperature, mixed": {"temperature": 0.5, "mixed_share": 0.2},
            "temperature, mixed, tokens": {"temperature": 0.5, "mixed_share": 0.2, "batch_tokens": 16_384},
            "groups apart": {},
        }
        for name, options in ways.items():
            begin = time.process_time()
            sources = [
                Source(
                    each.usable,
                    tokens=tokens[number],
                    mixes="all",
                    groups=groups[number] if name == "groups apart" else None,
                )
                if name != "plain"
                else Source(each.usable)
                for number, each in enumerate(columns)
            ]
            sampler = EpochSampler(sources, batch_size=BATCH, seed=0, **options)
            draw = next(iter(sampler))
            gather_batch(columns[draw.dataset], draw.rows[: BATCH if draw.datasets is None else 1], seed=draw.seed)
            found.setdefault(f"sampler, {name}", []).append(time.process_time() - begin)
    medians = {name: float(np.median(values)) for name, values in found.items()}
    medians["start, plain"] = medians["columns"] + medians["sampler, plain"]
    return medians


def memory_dataset(count: int, random: Any = np.random.default_rng(0)) -> Dataset:
    """Retrieval records of one positive each, every text its own."""
    content = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), 2 * count, [None, pa.py_buffer(random.bytes(32 * count))]
    )
    inputs = pa.table([content, pa.array([f"text {number}" for number in range(2 * count)])], schema=INPUTS)
    return Dataset(inputs, no_documents(), records_of(count), name="data")


def records_of(count: int) -> pa.Table:
    one = pa.ListArray.from_arrays(
        pa.array(np.arange(count + 1, dtype=np.int32)), pa.array(np.arange(count, 2 * count))
    )
    none = pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), pa.array(np.zeros(0, np.int64)))
    columns = {
        "query": pa.array(np.arange(count)),
        "positives": one,
        "negatives": none,
        "weight": pa.array(np.ones(count, np.float32)),
        "kind": pa.array(["retrieval"] * count),
        "dataset": pa.array(["data"] * count),
    }
    values = [columns.get(field.name, pa.nulls(count, field.type)) for field in RECORDS]
    return pa.table(values, schema=RECORDS)


def no_documents() -> pa.Table:
    empty = pa.array([], pa.string())
    return pa.table({"id": empty, "input": pa.array([], pa.int64()), "group": empty, "split": empty})


def streaming(megabytes: int) -> dict[str, float]:
    """Write a dataset of so much text, iterate over an epoch of it in another process, and read its memory."""
    with tempfile.TemporaryDirectory() as folder:
        count = megabytes * 1_000_000 // (2 * 3_000)
        words = [f"word{number}" for number in np.random.default_rng(0).integers(0, 10_000, 400)]
        line = " ".join(words)[:2_990]
        with Dataset.build(name="large", folder=Path(folder) / "data") as builder:
            for number in range(count):
                builder.add_record(query=f"q {number} {line}", positives=[f"d {number} {line}"])
            builder.finish()
        done = subprocess.run(
            [sys.executable, __file__, "--iterate", str(Path(folder) / "data")],
            check=True,
            capture_output=True,
            text=True,
        )
        own, mapped, seconds = map(float, done.stdout.split())
        size = (Path(folder) / "data" / "inputs.arrow").stat().st_size / 1e6
    return {
        "text_megabytes": size,
        "records": count,
        "anonymous_megabytes": own,
        "mapped_megabytes": mapped,
        "seconds": seconds,
    }


def iterate(folder: Path) -> None:
    """Print by how many MB the process grew at most (its own, mapped), and its processor seconds."""
    before, begin, most = memory(), time.process_time(), [0.0, 0.0]
    dataset = Dataset.open(folder)
    columns = RecordColumns(dataset)

    def encode(_: str, rows: np.ndarray, __: list[str] | None) -> dict[str, Any]:
        dataset.texts(rows)
        return {}

    for number, draw in enumerate(EpochSampler([Source(columns.usable)], batch_size=64, seed=0)):
        gather_batch(columns, draw.rows, seed=draw.seed, encode=encode)
        if number % 20 == 0:
            most = [max(old, now - first) for old, now, first in zip(most, memory(), before, strict=True)]
    print(most[0], most[1], time.process_time() - begin)


def memory() -> tuple[float, float]:
    """MB of this process: its own (RssAnon), and pages of mapped files (RssFile)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    own, mapped = (int(lines[name].split()[0]) / 1000 for name in ("RssAnon", "RssFile"))
    return own, mapped


if __name__ == "__main__":
    sys.exit(main())
