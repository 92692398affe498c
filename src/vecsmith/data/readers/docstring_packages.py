"""Which packages are held out: one fixed hash of a top-level package's name, the same everywhere and for ever.

The demo judges on "test" packages and tunes on "dev" packages; the default model is trained on text of "train" packages
only. Both ask this one function, so no model is ever judged on a package that it was trained on.
"""

import sys

import xxhash

__all__ = ["SHARES", "is_held_out", "package_of", "package_split"]

SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}  # of package names; of documents only roughly

# Packages differ in size by a factor of thousands. This salt is the one of several thousand whose three sides came
# nearest to SHARES by number of docstrings, on a standard library and on an install of torch and its companions.
# No score was looked at. Changing it makes every published figure on docstrings another figure.
_SALT = "3661:"


def package_split(package: str) -> str:
    """The side of a top-level package: "train", "dev" or "test".

    package   top-level name as `package_of` gives it ("email"; not "email.utils")

    >>> package_split("torch"), package_split("sklearn"), package_split("logging")
    ('train', 'dev', 'test')
    """
    point = xxhash.xxh3_64_intdigest(f"{_SALT}{package}".encode()) % 10_000
    if point < 10_000 * SHARES["test"]:
        return "test"
    return "dev" if point < 10_000 * (SHARES["test"] + SHARES["dev"]) else "train"


def is_held_out(package: str) -> bool:
    """Whether a package is judged or tuned on: what the default model must never have seen."""
    return package_split(package) != "train"


def package_of(module: str) -> str:
    """The top-level package of a dotted module name.

    The pure-Python twin of a standard module counts as that module: its docstrings are nearly the same.

    >>> package_of("email.utils"), package_of("_pydecimal")
    ('email', 'decimal')
    """
    top = module.partition(".")[0]
    twin = top.removeprefix("_py")
    return twin if twin != top and twin in sys.stdlib_module_names else top
