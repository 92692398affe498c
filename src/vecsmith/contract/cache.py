"""What this machine has checked already, in the user's cache folder; losing it costs time, nothing else."""

import json
import os
from contextlib import suppress
from pathlib import Path

from vecsmith.atomic import open_atomic

__all__ = ["add_to_cache", "cache_folder", "read_cache"]

MOST_REMEMBERED = 2_000


def cache_folder() -> Path:
    """The user's cache folder for vecsmith: `$XDG_CACHE_HOME/vecsmith`, else `~/.cache/vecsmith`."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "vecsmith"


def read_cache(name: str) -> dict[str, list[object]]:
    """Entries of one cache; a missing, unreadable or strange file holds none."""
    try:
        known = json.loads((cache_folder() / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: entry for key, entry in known.items() if isinstance(entry, list)} if isinstance(known, dict) else {}


def add_to_cache(name: str, fresh: dict[str, list[object]]) -> None:
    """Remember entries, atomically; the oldest are dropped beyond 2,000."""
    # Read again just before writing: two processes that check at once lose at most one entry, never the file.
    known = read_cache(name)
    kept = dict(list({**{key: known[key] for key in known if key not in fresh}, **fresh}.items())[-MOST_REMEMBERED:])
    with suppress(OSError):  # a read-only or full home only means checking again at the next open
        cache_folder().mkdir(parents=True, exist_ok=True)
        with open_atomic(cache_folder() / f"{name}.json", "w", durable=False) as file:
            json.dump(kept, file)
