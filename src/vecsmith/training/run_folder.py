"""A run's own folder beside its output: what it trains, which stages are finished, and their checkpoints."""

import difflib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.atomic import disk_errors, write_json
from vecsmith.errors import UsageError
from vecsmith.training.lock import read_lock, recipe_hash
from vecsmith.training.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["RunFolder", "barrier", "is_first"]


@dataclass(frozen=True)
class RunFolder:
    """A run's own folder beside its output: the resolved recipe, finished stages, checkpoints."""

    recipe: Recipe
    output: Path
    work: Path

    def check(self, data: Mapping[str, Any], *, resume: bool, force: bool) -> str:
        """ "finished", "going on" or "new"; a changed recipe or other data are refused with what changed."""
        text, now = self.recipe.to_yaml(), {name: each["fingerprint"] for name, each in data.items()}
        lock, state = read_lock(self.output), self._state()
        if lock is None and state is None and self.output.exists() and any(self.output.iterdir()):
            raise UsageError(f"{self.output} is there and is no model of vecsmith train; choose another --output")
        if lock is not None and resume:
            before = {name: each["fingerprint"] for name, each in lock["data"].items()}
            if lock["recipe"] == recipe_hash(text) and before == now:
                return "finished"
            if not force:
                old = (self.output / "recipe.yaml").read_text(encoding="utf-8")
                raise UsageError(_changed(self.output, old, text, before, now))
        if state and resume:
            if (state["recipe"] != text or state["data"] != now) and not force:
                raise UsageError(_changed(self.output, state["recipe"], text, state["data"], now))
            if state["recipe"] == text and state["data"] == now:
                return "going on"
        barrier()  # every rank has read what is there before the first one changes it
        if is_first():
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)
            write_json(self.work / "run.json", {"recipe": text, "data": now, "stages": []})
        barrier()
        return "new"

    def stages(self) -> list[dict[str, Any]]:
        """Facts of the finished stages."""
        return list((self._state() or {"stages": []})["stages"])

    def finish_stage(self, encoder: "SentenceTransformer", number: int, facts: dict[str, Any]) -> list[dict[str, Any]]:
        """Keep the weights after a stage, then say that it is finished, then drop its checkpoints."""
        from safetensors.torch import save_file

        from vecsmith.training.trainer import own_copies, trained

        state = self._state() or {"stages": []}
        state["stages"] = [*state["stages"][:number], facts]
        barrier()
        if is_first():
            with disk_errors(self.work):
                self.work.mkdir(parents=True, exist_ok=True)
                save_file(own_copies(trained(encoder)), self.work / f"stage-{number}.safetensors")
            write_json(self.work / "run.json", state)
            shutil.rmtree(self.work / f"stage-{number}", ignore_errors=True)
        barrier()
        return list(state["stages"])

    def load_stage(self, encoder: "SentenceTransformer", number: int) -> None:
        """The weights after a finished stage."""
        from vecsmith.training.trainer import load_trained

        load_trained(encoder, self.work / f"stage-{number}.safetensors")

    def weight_scale(self, encoder: "SentenceTransformer", number: int) -> float:
        """Root mean square of a static model's weights where a stage started; kept, so that a resumed run agrees.

        raises   RecipeError: the model is not static
        """
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        if not isinstance(encoder[0], StaticEmbedding):
            raise self.recipe.error(
                "relative_rate is for static models; leave it out", "stages", number, "relative_rate"
            )
        state = self._state() or {}
        kept = state.setdefault("scales", {})
        barrier()
        if str(number) not in kept:
            kept[str(number)] = float(encoder[0].embedding.weight.detach().square().mean().sqrt())
            if is_first():
                write_json(self.work / "run.json", state)
        return float(kept[str(number)])

    def _state(self) -> dict[str, Any] | None:
        try:
            value: dict[str, Any] = json.loads((self.work / "run.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return value


def _changed(output: Path, old: str, new: str, old_data: Mapping[str, Any], new_data: Mapping[str, Any]) -> str:
    lines = list(
        difflib.unified_diff(old.splitlines(), new.splitlines(), "the run's recipe", "this recipe", "", "", 1, "")
    )
    data = [name for name in {**old_data, **new_data} if old_data.get(name) != new_data.get(name)]
    what = "\n".join(lines) + (f"\ndata that changed: {', '.join(data)}" if data else "")
    return (
        f"{output} is a run of another recipe or other data:\n{what}\n"
        "Start over with --force, or choose another --output"
    )


def is_first() -> bool:
    from vecsmith.training.encoding import world

    return world()[0] == 0


def barrier() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
