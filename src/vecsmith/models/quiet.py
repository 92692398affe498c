"""Keep the progress bars of transformers off a terminal that has ours."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_foreign_bars"]


@contextmanager
def without_foreign_bars() -> Iterator[None]:
    """Inside, loading and saving a model shows no bar of transformers' own; whoever wanted them has them afterwards."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
