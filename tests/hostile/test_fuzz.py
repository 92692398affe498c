"""No bytes end in a traceback: some broken inputs for each reader; many of them in `make soak`."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import Target, Tried, lay_out, try_one, try_seconds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import (
    WHERE,
    WHERE_WORDS,
    document_targets,
    folder_targets,
    format_targets,
    schema,
    table_targets,
    text_targets,
)

from vecsmith.errors import VecsmithError

BUDGET = {"transformer": 25, "transformer, bare": 12}  # loading torch models takes its time


@pytest.mark.parametrize(
    "target", [*table_targets(), *format_targets(), *document_targets(), *text_targets()], ids=lambda t: t.name
)
def test_a_broken_file_is_refused_in_words_or_read(target):
    tried = try_seconds(target, 30, seed=3, most=80)
    assert not tried.failures, tried.failures[0]
    assert tried.inputs == 80


def test_a_broken_folder_of_our_own_is_refused_in_words_or_read():
    for target in folder_targets():
        tried = try_seconds(target, 30, seed=5, most=BUDGET.get(target.name, 60))
        assert not tried.failures, tried.failures[0]
        assert tried.refused > 0, target.name


@given(text=st.text(max_size=60) | st.lists(st.sampled_from([w.decode() for w in WHERE_WORDS] + WHERE.decode().split())).map(" ".join))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_filter_or_a_where_error(text):
    from vecsmith.index.where import parse_where

    try:
        parse_where(text, schema())
    except VecsmithError as error:
        assert str(error)


@given(data=st.binary(max_size=300), suffix=st.sampled_from(["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.xz", "tsv.zst", "csv.bz2"]))  # fmt: skip
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_table_or_an_error_that_names_the_file(tmp_path, data, suffix):
    from vecsmith.data.read import read

    path = tmp_path / f"any.{suffix}"
    path.write_bytes(data)
    try:
        read(path)
    except VecsmithError as error:
        assert f"any.{suffix}" in str(error)


def test_the_fuzzer_sees_a_door_that_raises_something_else(tmp_path):
    target = Target("bad", {"f": b"abc"}, lambda folder: int((folder / "f").read_bytes()) if True else None)
    tried = Tried("bad")
    try_one(target, lay_out(target, tmp_path), random.Random(0), tried)
    assert tried.inputs == 1
    assert "ValueError" in tried.failures[0]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_minute_of_broken_inputs_for_every_reader_ends_in_no_traceback(capfd):
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run([sys.executable, str(script), "--seconds", "60"], check=False)
    assert done.returncode == 0
