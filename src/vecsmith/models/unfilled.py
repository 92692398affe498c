"""Refuse weights that transformers made up because the model's files do not hold them."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vecsmith.errors import Damaged

__all__ = ["weights_from_files"]

ROW = re.compile(r"^(\S+)\s*\|\s*(?:\x1b\[[\d;]*m)*MISSING", re.MULTILINE)
UNUSED = re.compile(r"(^|\.)(pooler|lm_head|cls|classifier)\.")  # heads that no vector passes through


@contextmanager
def weights_from_files(folder: Path) -> Iterator[None]:
    """Inside, a transformer's weights are loaded; raises Damaged where some of them were drawn at random instead.

    transformers fills weights that no file holds with random numbers and says so in a report on its log, nowhere else.
    """
    reports = _Reports()
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addHandler(reports)
    try:
        yield
    finally:
        logger.removeHandler(reports)
    missing = [name for text in reports.texts for name in ROW.findall(text) if not UNUSED.search(name)]
    if missing:
        raise Damaged(
            f"{folder}: its files do not hold the weights {', '.join(missing[:3])}{', ...' if missing[3:] else ''} "
            f"({len(missing)} in all), so they would be random. The files are of another model, or were renamed "
            "inside; copy the model again"
        )


class _Reports(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
