import json

import pytest

from vecsmith.errors import Damaged, Locked, UsageError
from vecsmith.forging.steps import Steps, key_of


def run_once(folder, key, calls):
    steps = Steps(folder)
    with steps.open():
        result = steps.run("read", key, lambda: calls.append(key) or {"documents": 3})
    return steps, result


def test_a_step_with_the_same_key_is_done_once(tmp_path):
    calls = []
    first, _ = run_once(tmp_path / "out", "a", calls)
    second, result = run_once(tmp_path / "out", "a", calls)
    assert calls == ["a"]
    assert result == {"documents": 3}
    assert (first.reran, second.reran, second.kept) == (["read"], [], ["read"])


def test_a_changed_key_does_it_again(tmp_path):
    calls = []
    run_once(tmp_path / "out", "a", calls)
    run_once(tmp_path / "out", "b", calls)
    assert calls == ["a", "b"]


def test_a_step_that_fails_is_not_recorded(tmp_path):
    steps = Steps(tmp_path / "out")
    with pytest.raises(RuntimeError), steps.open():
        steps.run("read", "a", lambda: {}[1] if False else (_ for _ in ()).throw(RuntimeError))
    assert json.loads((tmp_path / "out" / "forge.json").read_text())["steps"] == {}


def test_a_folder_that_is_not_ours_is_refused_untouched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds files that are not forge's \(no forge.json"):
        Steps(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        Steps(tmp_path / "out")


def test_two_at_once_are_refused_with_the_holder(tmp_path):
    import os

    with (
        Steps(tmp_path / "out").open(),
        pytest.raises(Locked, match=f"process {os.getpid()}"),
        Steps(tmp_path / "out").open(),
    ):
        pass


def test_a_damaged_state_says_which_file(tmp_path):
    run_once(tmp_path / "out", "a", [])
    (tmp_path / "out" / "forge.json").write_text('{"format": 1, "st')
    with pytest.raises(Damaged, match=r"forge\.json cannot be read"), Steps(tmp_path / "out").open():
        pass


def test_a_key_hangs_on_every_part():
    assert len({key_of("a", 1), key_of("a", 2), key_of("b", 2)}) == 3
    assert key_of({"x": 1, "y": 2}) == key_of({"y": 2, "x": 1})
