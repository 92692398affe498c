"""What a reader met on its way: how many files, and what it passed over, by reason and by name."""

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["NAMED", "Found"]

NAMED = 20  # names kept per reason: enough to act on, bounded for a folder of a million


@dataclass
class Found:
    """Files read, and those passed over: nothing is skipped silently."""

    files: int = 0
    documents: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> how many
    names: dict[str, list[str]] = field(default_factory=dict)  # reason -> the first NAMED names

    def skip(self, reason: str, name: str, count: int = 1) -> None:
        """Count what is passed over, and remember its name while there is room."""
        self.skipped[reason] += count
        names = self.names.setdefault(reason, [])
        if len(names) < NAMED:
            names.append(name)

    def describe(self) -> dict[str, dict[str, object]]:
        """reason -> {"count": n, "names": [...]}, most frequent first."""
        return {
            reason: {"count": count, "names": list(self.names.get(reason, []))}
            for reason, count in sorted(self.skipped.items(), key=lambda item: (-item[1], item[0]))
        }
