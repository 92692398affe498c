"""Which split a file belongs to, by its name, and what splits are called here: train, dev, test."""

import re

__all__ = ["SIDES", "SPLITS", "base_of", "shard_of", "side_of", "split_named"]

# What others call the three.
SIDES = {"training": "train", "validation": "dev", "valid": "dev", "val": "dev", "development": "dev", "eval": "dev"}
SIDES |= {"evaluation": "dev", "testing": "test"}
SPLITS = ("train", "dev", "test", *SIDES)

_SHARD = re.compile(r"[-_.](\d{2,6})-of-(\d{2,6})\Z")


def side_of(name: str) -> str:
    """train, dev or test where a name means one of them, else the name.

    >>> side_of("Validation"), side_of("unsupervised")
    ('dev', 'unsupervised')
    """
    return SIDES.get(name.lower(), name.lower() if name.lower() in SPLITS else name)


def shard_of(stem: str) -> tuple[str, int, int] | None:
    """Name, number and count of a shard, by the stem of its file; None: it is no shard.

    >>> shard_of("train-00001-of-00002")
    ('train', 1, 2)
    """
    found = _SHARD.search(stem)
    return (stem[: found.start()], int(found[1]), int(found[2])) if found else None


def split_named(stem: str) -> str | None:
    """The split that the stem of a file names, alone or as its last or first word; None: it names none.

    >>> split_named("train"), split_named("quora_dev"), split_named("test-part2"), split_named("contest")
    ('train', 'dev', 'test', None)
    """
    words = _words(stem)
    named = [word for word in (words[-1:] + words[:1]) if word in SPLITS]
    return side_of(named[0]) if named else None


def base_of(stem: str) -> str:
    """A stem without the word that names its split: equal for the splits of one data set.

    >>> base_of("quora_dev"), base_of("train"), base_of("test-part2")
    ('quora', '', 'part2')
    """
    words = _words(stem)
    place = len(words) - 1 if words and words[-1] in SPLITS else 0 if words and words[0] in SPLITS else None
    return "-".join(word for number, word in enumerate(words) if number != place)


def _words(stem: str) -> list[str]:
    return [word for word in re.split(r"[-_.\s]+", stem.lower()) if word]
