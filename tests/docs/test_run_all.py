"""benchmarks/run_all.py runs what stands beside it, says what it left out, and fails where a script fails."""

import shutil
import subprocess
import sys
from pathlib import Path

RUN_ALL = Path(__file__).resolve().parents[2] / "benchmarks" / "run_all.py"
GOOD = """
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true")
parser.add_argument("--json", type=pathlib.Path)
arguments = parser.parse_args()
arguments.json.write_text(str(arguments.quick))
"""


def run_all(folder, *arguments):
    shutil.copy(RUN_ALL, folder)
    return subprocess.run(
        [sys.executable, folder / RUN_ALL.name, *arguments], capture_output=True, text=True, check=False
    )


def test_quick_is_passed_on_and_a_script_without_it_is_left_out(tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "slow.py").write_text("raise SystemExit(3)")
    out = run_all(tmp_path, "--quick")
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "results" / "good.quick.json").read_text() == "True"
    assert "left out, has no --quick" in out.stdout


def test_one_failing_script_fails_the_run_after_the_others_ran(tmp_path):
    (tmp_path / "bad.py").write_text("raise SystemExit(3)")
    (tmp_path / "good.py").write_text(GOOD)
    out = run_all(tmp_path)
    assert out.returncode == 1
    assert "failed (3)" in out.stdout
    assert [file.read_text() for file in (tmp_path / "results").iterdir()] == ["False"]


def test_an_unknown_name_names_the_known_ones(tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    out = run_all(tmp_path, "--only", "god")
    assert out.returncode == 2
    assert "no benchmark god; there are: good" in out.stderr
