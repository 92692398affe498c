"""A cross-encoder as a scorer: it reads query and document together and gives one number."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith.errors import ContractError, UsageError
from vecsmith.models.batches import plan_batches
from vecsmith.models.folder_hash import folder_fingerprint
from vecsmith.models.quiet import without_foreign_bars

__all__ = ["CrossEncoderScorer"]

TOKEN_BUDGET, WASTE_LIMIT = 4_096, 0.2


class CrossEncoderScorer:
    """Scores pairs by a cross-encoder of one output, as raw logits; `cut` counts pairs longer than it reads.

    Logits, not probabilities: a sigmoid presses the best candidates together, and lists are normalised later anyway.
    Pairs of like length share a batch; a pair's score does not hang on its company beyond rounding.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, device: str | None = None, token_budget: int = TOKEN_BUDGET
    ) -> None:
        """Open a folder of sentence-transformers' CrossEncoder.

        token_budget   most tokens of a batch, padding included
        raises         UsageError: no such folder, or a budget below 1; ContractError: no safetensors, modules from
                       elsewhere, more than one output, no model
        """
        if token_budget < 1:
            raise UsageError(f"token_budget is {token_budget}; a batch needs 1 or more")
        self.folder, self.token_budget, self.cut = Path(folder).expanduser(), token_budget, 0
        if not (self.folder / "config.json").is_file():
            raise UsageError(f"{self.folder} is no folder of a cross-encoder: it has no config.json")
        self.fingerprint = folder_fingerprint(self.folder)
        self.model = _opened(self.folder, device)

    @property
    def description(self) -> dict[str, Any]:
        """What scores hang on besides their pair."""
        return {
            "kind": "cross-encoder",
            "name": self.folder.name,
            "fingerprint": self.fingerprint,
            "max_tokens": self.model.max_seq_length,
            "output": "logit",
        }

    def __call__(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        """float64 [n]: one logit per (query, document), higher is better."""
        from torch.nn import Identity

        lengths, is_cut = self._lengths(pairs)
        self.cut += int(is_cut.sum())
        scores = np.empty(len(pairs), dtype=np.float64)
        for rows in plan_batches(lengths, token_budget=self.token_budget, waste_limit=WASTE_LIMIT):
            batch = [pairs[row] for row in rows.tolist()]
            scores[rows] = self.model.predict(
                batch, batch_size=len(batch), activation_fn=Identity(), show_progress_bar=False
            )
        return scores

    def _lengths(self, pairs: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of each pair as the model sees it, int64 [n], and which pairs are cut."""
        if not pairs:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
        left, right = zip(*pairs, strict=True)
        tokenizer = self.model.tokenizer
        read = tokenizer(list(left), list(right), truncation=False, verbose=False)["input_ids"]
        lengths = np.array([len(ids) for ids in read], dtype=np.int64)
        limit = int(self.model.max_seq_length or 2**62)
        return np.minimum(lengths, limit), lengths > limit


def _opened(folder: Path, device: str | None) -> Any:
    from sentence_transformers import CrossEncoder

    try:
        with without_foreign_bars():
            model = CrossEncoder(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
    except (ValueError, KeyError, OSError) as error:
        raise ContractError(f"{folder} is no cross-encoder: {str(error).splitlines()[0]}") from error
    if model.num_labels != 1:
        raise ContractError(f"{folder} gives {model.num_labels} numbers per pair; a teacher gives one")
    model.eval()
    return model
