"""Which files of a folder are tables, and of which split: by the card of a data set, by folders, by names.

    data/train-00000-of-00002.parquet, data/train-00001-of-00002.parquet, data/test.parquet
    train.jsonl.gz, dev.jsonl.gz
    README.md with  configs: [{config_name: default, data_files: [{split: train, path: data/train-*}]}]

A file that a link leads out of the folder is not taken (the cache of the Hugging Face hub keeps its files in `blobs`
beside `snapshots`; those are).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from vecsmith.data.readers.splits import base_of, shard_of, side_of, split_named
from vecsmith.data.readers.table_formats import FORMATS, table_format
from vecsmith.data.readers.unpacking import unpacked_name
from vecsmith.errors import DataError

__all__ = ["Files", "card_configs", "folder_configs", "split_files", "stem_of", "tables_in"]

Files = dict[str, tuple[Path, ...]]
LARGEST_CARD = 4 << 20
MOST_FILES = 10_000


def tables_in(folder: Path) -> list[Path]:
    """The tables right in a folder, sorted by name; none where there is no folder. DataError: over 10,000."""
    if not folder.is_dir():
        return []
    found = []
    for entry in folder.iterdir():
        if table_format(entry) is not None and not entry.name.startswith(".") and _is_inside(folder, entry):
            found.append(entry)
        if len(found) > MOST_FILES:
            raise DataError(f"more than {MOST_FILES:,} tables in one folder; name one of them", file=folder)
    return sorted(path for path in found if not _describes(path))


def stem_of(path: Path) -> str:
    """The name of a table without its endings.

    >>> stem_of(Path("data/train-00000-of-00001.parquet")), stem_of(Path("quora_dev.tsv.gz"))
    ('train-00000-of-00001', 'quora_dev')
    """
    name = unpacked_name(path.name)
    ending = next((ending for ending in FORMATS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def split_files(files: Iterable[Path], folder: Path) -> Files | None:
    """Split -> files, its shards in order; "" where the only table names no split. None: they do not fall into splits.

    raises   DataError: a shard is missing
    """
    families: dict[tuple[str, str], list[tuple[int, int, Path]]] = {}
    for file in files:
        stem = stem_of(file)
        name, number, count = shard_of(stem) or (stem, 0, 1)
        families.setdefault((name, unpacked_name(file.name).rpartition(".")[2]), []).append((number, count, file))
    result: Files = {}
    if len({base_of(name) for name, _ in families}) > 1:
        return None
    for (name, _), shards in families.items():
        split = split_named(name) or ("" if len(families) == 1 else None)
        if split is None or split in result:
            return None
        _check_shards(name, shards, folder)
        result[split] = tuple(file for *_, file in sorted(shards))
    return result or None


def card_configs(folder: Path) -> dict[str, Files]:
    """Configurations of the card of a data set (README.md): name -> split -> files. Empty: it names none.

    raises   DataError: a card that is no YAML, or one that names files that are not there
    """
    described = _front_matter(folder / "README.md").get("configs")
    configs: dict[str, Files] = {}
    for config in described if isinstance(described, list) else ():
        if not isinstance(config, Mapping) or "data_files" not in config:
            continue
        files: Files = {}
        for split, pattern in _patterns(config["data_files"]):
            files[side_of(split)] = (*files.get(side_of(split), ()), *_matching(folder, pattern))
        configs[str(config.get("config_name", "default"))] = files
    return configs


def folder_configs(folder: Path) -> dict[str, Files]:
    """The same where no card says it: each folder that holds tables, and tables that are called corpus or queries."""
    configs: dict[str, Files] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and _is_inside(folder, entry) and (tables := tables_in(entry)):
            configs[entry.name] = split_files(tables, entry) or _by_stem(tables)
        elif table_format(entry) is not None and stem_of(entry) in ("corpus", "queries", "query"):
            configs[stem_of(entry)] = {"": (entry,)}
    return configs


def _by_stem(tables: list[Path]) -> Files:
    """Each table a split of its own, shards together."""
    result: Files = {}
    for table in tables:
        stem = stem_of(table)
        name = (shard_of(stem) or (stem,))[0]
        result[name] = (*result.get(name, ()), table)
    return result


def _check_shards(name: str, shards: list[tuple[int, int, Path]], folder: Path) -> None:
    count = shards[0][1]
    missing = sorted(set(range(count)) - {number for number, _, _ in shards})
    if missing:
        raise DataError(
            f"shard {missing[0]:05d} of {name} is missing: {len(shards)} of {count} are there. Fetch the others",
            file=folder,
        )


def _front_matter(card: Path) -> Mapping[str, Any]:
    """The YAML between the two lines of dashes that open a card."""
    if not card.is_file() or card.stat().st_size > LARGEST_CARD:
        return {}
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    end = next((place for place, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
    try:
        found = yaml.safe_load("\n".join(lines[1:end]))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(
            f"its front matter is no YAML ({str(error)[:200]}). Mend it, or name a table", file=card
        ) from error
    return found if isinstance(found, Mapping) else {}


def _patterns(data_files: Any) -> list[tuple[str, str]]:
    """(split, pattern) of a `data_files` entry: a pattern, a list of them, or objects with split and path."""
    if isinstance(data_files, str):
        return [("train", data_files)]
    if isinstance(data_files, Mapping):
        pairs: list[Any] = [{"split": split, "path": path} for split, path in data_files.items()]
    else:
        pairs = list(data_files) if isinstance(data_files, list) else []
    found = []
    for pair in pairs:
        if isinstance(pair, str):
            found.append(("train", pair))
        elif isinstance(pair, Mapping) and "path" in pair:
            paths = pair["path"] if isinstance(pair["path"], list) else [pair["path"]]
            found += [(str(pair.get("split", "train")), str(path)) for path in paths]
    return found


def _matching(folder: Path, pattern: str) -> tuple[Path, ...]:
    parts = Path(pattern).parts
    if not pattern or Path(pattern).is_absolute() or ".." in parts:
        raise DataError(f'the card names "{pattern}", which lies outside', file=folder / "README.md")
    try:
        found = sorted(path for path in folder.glob(pattern) if path.is_file() and _is_inside(folder, path))
    except (OSError, ValueError) as error:  # a name that no file can have, or stars in the wrong place
        raise DataError(
            f'the card names "{pattern[:80]}", which is no pattern of files ({error})', file=folder / "README.md"
        ) from error
    if not found:
        raise DataError(f'the card names "{pattern}", and no such file is here. Fetch it', file=folder / "README.md")
    return tuple(found)


def _is_inside(folder: Path, path: Path) -> bool:
    """Whether a path stays in its folder when links are followed, or in the hub cache that the folder is part of."""
    if not path.is_symlink() and not folder.is_symlink():
        return True
    target, root = path.resolve(), folder.resolve()
    if target.is_relative_to(root):
        return True
    snapshot = next((parent for parent in root.parents if parent.name == "snapshots"), None)
    return snapshot is not None and target.is_relative_to(snapshot.parent / "blobs")


def _describes(path: Path) -> bool:
    """Whether a file that is called like a table describes a data set."""
    return path.name in ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "dataset.json")
