"""The list of methods: 31 rows, and a state that follows from what is there."""

import json
import shutil
from importlib import resources

import pytest

from vecsmith.cli.main import run
from vecsmith.cli.methods import methods

FIELDS = ["row", "key", "paper", "state", "verdict", "figure", "low", "high", "seeds", "date", "command"]


def test_there_are_31_rows_in_order_each_with_its_facts():
    found = methods()
    assert [method.row for method in found] == list(range(1, 32))
    assert len({method.key for method in found}) == 31
    for method in found:
        assert method.paper
        assert method.claim
        assert method.home
        assert method.command.startswith("vecsmith ")
        assert method.state in ("planned", "built", "replicated")
        assert bool(method.missing) == (method.state != "replicated")


def test_both_forms_print_every_key(capsys):
    assert run(["methods", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [list(row) for row in rows] == [FIELDS] * 31
    assert run(["methods"]) == 0
    text = capsys.readouterr().out
    assert all(row["key"] in text for row in rows)
    assert max(map(len, text.splitlines())) <= 80


@pytest.fixture
def package(tmp_path):
    """A package with one row whose home and recipe exist."""
    (tmp_path / "methods.toml").write_text(
        '[[method]]\nrow = 1\nkey = "x"\npaper = "X"\nhome = ["topk", "recipes/x"]\nrecipe = "x"\nclaim = "c"\n'
    )
    shutil.copy(str(resources.files("vecsmith").joinpath("topk.py")), tmp_path / "topk.py")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "x.yaml").write_text("name: x\n")
    (tmp_path / "evidence").mkdir()
    return tmp_path


def test_a_method_is_built_when_home_and_recipe_are_there(package):
    (method,) = methods(package)
    assert (method.state, method.missing) == ("built", ("no evidence/x.json; make it with a replication",))
    (package / "recipes" / "x.yaml").unlink()
    (method,) = methods(package)
    assert (method.state, method.missing) == ("planned", ("no recipe x",))


def test_a_home_without_public_names_is_not_built(package):
    (package / "topk.py").write_text('"""A room to come."""\n')
    assert methods(package)[0].missing == ("topk holds no public name",)
    (package / "topk.py").unlink()
    assert methods(package)[0].missing == ("no module topk",)


def test_a_command_counts_only_where_it_exists(package):
    text = (package / "methods.toml").read_text()
    for command, state in (("vecsmith methods", "built"), ("vecsmith nothing", "planned")):
        (package / "methods.toml").write_text(text.replace('recipe = "x"', f'command = "{command}"'))
        (method,) = methods(package)
        assert (method.state, method.command) == (state, command)


GOOD = {
    "verdict": "contradicted",
    "seeds": [1, 2, 3],
    "figure": -0.01,
    "low": -0.02,
    "high": -0.005,
    "date": "2026-01-31",
}


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, "replicated", ""),
        ({"verdict": "great"}, "built", "its verdict is none of"),
        ({"seeds": [1, 1, 2]}, "built", "fewer than 3 seeds"),
        ({"low": None}, "built", "no difference with its interval"),
        ({"figure": float("nan")}, "built", "no difference with its interval"),
        ({"date": None}, "built", "no date"),
        ({"bed": {"other": True}}, "built", "another bed"),
        (None, "built", "is no object"),
    ],
)
def test_a_method_is_replicated_by_evidence_with_a_verdict_seeds_an_interval_and_a_day(package, change, state, words):
    evidence = [] if change is None else {**GOOD, **change}
    (package / "evidence" / "x.json").write_text(json.dumps(evidence))
    (method,) = methods(package)
    assert method.state == state
    assert words in " ".join(method.missing)
    shown = {name: method.fields[name] for name in ("verdict", "figure", "low", "high", "seeds", "date")}
    assert shown == ({**GOOD, "seeds": 3} if state == "replicated" else dict.fromkeys(shown))


def test_every_committed_result_has_what_the_table_shows():
    for method in methods():
        if method.verdict is not None:
            assert method.low <= method.figure <= method.high
            assert method.seeds >= 3


def test_evidence_that_is_not_json_does_not_count(package):
    (package / "evidence" / "x.json").write_text("{")
    assert methods(package)[0].missing == ("evidence/x.json is not JSON",)
