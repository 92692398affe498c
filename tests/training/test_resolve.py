"""Names are found by looking through the rooms, never registered, and only the file that declares one is imported."""

import pytest

from vecsmith.errors import RecipeError
from vecsmith.training import resolve as module
from vecsmith.training.resolve import declared_options, home_of, resolve


def test_a_name_is_found_in_the_file_that_declares_it():
    from vecsmith.objectives.info_nce import info_nce

    assert resolve("objectives", "info_nce") is info_nce
    assert home_of("objectives", "info_nce").name == "info_nce.py"


def test_what_a_module_does_not_declare_is_not_found():
    with pytest.raises(RecipeError, match='"softplus" is no name of objectives'):
        resolve("objectives", "softplus")


def test_options_are_the_keyword_only_arguments():
    assert {"temperature", "margin", "query_query"} <= set(declared_options("objectives", "info_nce"))
    assert "queries" not in declared_options("objectives", "info_nce")


def test_a_name_that_stands_twice_is_refused_with_both_files(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text('__all__ = ["twin"]\n', encoding="utf-8")
    monkeypatch.setattr(module, "_root", lambda room: tmp_path)
    with pytest.raises(RecipeError, match=r"stands in one\.py, two\.py"):
        home_of("objectives", "twin")


def test_an_unknown_room_is_refused():
    with pytest.raises(RecipeError, match='no room "cellar"'):
        home_of("cellar", "x")
