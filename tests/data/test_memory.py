"""A source larger than memory is read in bounded memory."""

import json
import subprocess
import sys

import pytest

from vecsmith.data.dataset import Dataset

READ = """
import sys
import vecsmith as vs
import vecsmith.data.dataset_builder
from vecsmith.data.read import read

def highest():  # of resident memory, in MB; mapped pages that were touched count
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024

before = highest()
read(sys.argv[1], attributes=["year", "site"], group="site", folder=sys.argv[2])
print(highest() - before)
"""


def write_rows(path, rows):
    """About 250 bytes a row; every id and nearly every text is distinct."""
    with open(path, "w", encoding="utf-8") as file:
        for row in range(rows):
            one, other = row * 7919 % rows, row * 104729 % rows
            cells = {
                "id": f"doc-{row:07d}",
                "question": f"what does the handbook of part {row} say about valve {one} of line {row % 97}?",
                "answer": f"part {row}: turn valve {other} a quarter to the left, wait {row % 60} seconds and read it",
                "year": 1990 + row % 35,
                "site": f"site-{row % 500}, building {row % 7}",
            }
            file.write(json.dumps(cells) + "\n")


def growth(tmp_path, rows):
    if not sys.platform.startswith("linux"):
        pytest.skip("resident memory is read from /proc, which only Linux has")
    write_rows(tmp_path / "big.jsonl", rows)
    command = [sys.executable, "-c", READ, str(tmp_path / "big.jsonl"), str(tmp_path / "set")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    dataset = Dataset.open(tmp_path / "set")
    assert len(dataset.documents) == dataset.records.num_rows == rows
    assert dataset.inputs.num_rows == 2 * rows
    assert dataset.documents[rows - 1].text.startswith(f"part {rows - 1}: ")
    return float(done.stdout)


def test_reading_150_thousand_rows_grows_by_less_than_130_mb(tmp_path):
    assert growth(tmp_path, 150_000) < 130  # 90 seen, of which most are blocks of fixed size


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_reading_5_million_rows_of_over_1_gb_grows_by_less_than_500_mb(tmp_path):
    megabytes = growth(tmp_path, 5_000_000)
    assert (tmp_path / "big.jsonl").stat().st_size > 1e9
    print(f"growth: {megabytes:.0f} MB")
    assert megabytes < 500
