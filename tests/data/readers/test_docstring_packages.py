"""One hash decides which packages are held out."""

import sys

import pytest

from vecsmith.data.readers.docstring_packages import SHARES, is_held_out, package_of, package_split


@pytest.mark.parametrize(
    ("package", "side"), [("torch", "train"), ("json", "train"), ("sklearn", "dev"), ("logging", "test")]
)
def test_the_side_of_a_package_never_changes(package, side):
    assert package_split(package) == side
    assert is_held_out(package) == (side != "train")


def test_the_standard_library_stands_on_all_sides_in_about_the_right_shares():
    names = [name for name in sys.stdlib_module_names if not name.startswith("_")]
    sides = [package_split(name) for name in names]
    for side, share in SHARES.items():
        assert abs(sides.count(side) / len(sides) - share) < 0.06, side


def test_a_pure_python_twin_belongs_to_its_module():
    assert package_of("_pydatetime") == package_of("datetime") == "datetime"
    assert package_of("_pytest.config") == "_pytest"
    assert package_of("email.mime.text") == "email"
