"""What a check of `vecsmith doctor` found, in one shape for people and programs."""

from dataclasses import dataclass

__all__ = ["Finding", "fine", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """subject: what was looked at; state: "ok", "note" or "problem"; mend: the command or act that mends it."""

    subject: str
    state: str
    words: str
    mend: str = ""


def fine(subject: str, words: str) -> Finding:
    """Nothing to do."""
    return Finding(subject, "ok", words)


def note(subject: str, words: str, mend: str = "") -> Finding:
    """Worth knowing; nothing is broken."""
    return Finding(subject, "note", words, mend)


def problem(subject: str, words: str, mend: str) -> Finding:
    """Broken, with the way out."""
    return Finding(subject, "problem", words, mend)
