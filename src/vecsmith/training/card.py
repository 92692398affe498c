"""The card of a model folder: what it is, what it was made from, under which licence, and how to load it."""

from collections.abc import Mapping
from typing import Any

import yaml

from vecsmith.training.recipe import Recipe

__all__ = ["card"]


def card(recipe: Recipe, lock: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """README.md of a trained model, in Markdown with its metadata on top.

    lock     of the run
    facts    {"dimension", "max_length", "stages": [{"name", "steps", "seconds", "loss", "judged"}]}
    """
    metadata = {
        "license": recipe.licence,
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "vecsmith"],
        "base_model": recipe.model.base,
    }
    sections = [
        f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---\n\n# {recipe.name}\n",
        _what(recipe, facts),
        _use(recipe),
        _made(recipe, lock, facts),
        _licence(recipe, lock),
    ]
    return "\n".join(sections)


def _what(recipe: Recipe, facts: Mapping[str, Any]) -> str:
    longest = facts.get("max_length")
    reads = f", reads up to {longest:,} tokens" if isinstance(longest, int) else ""
    paper = (
        f"\nMethod: {recipe.paper.get('title', '')} (arXiv {recipe.paper.get('arxiv', '')}).\n" if recipe.paper else ""
    )
    return f"Maps text to a vector of {facts['dimension']} numbers{reads}. Compare vectors by cosine.\n{paper}"


def _use(recipe: Recipe) -> str:
    prompts = "\n".join(f"- {side}: `{text!r}`" for side, text in recipe.prompts.items() if text)
    note = f"\nPrompts are put in front by `encode_query` and `encode_document`:\n\n{prompts}\n" if prompts else ""
    code = (
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        'model = SentenceTransformer("path/to/this/folder")\n'
        'model.similarity(model.encode_query(["a question"]), model.encode_document(["an answer"]))\n```\n'
    )
    return f"## Use\n\n{code}{note}"


def _made(recipe: Recipe, lock: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    data = "\n".join(
        f"| {name} | {each['kind']} | {each['records']:,} | `{str(each['fingerprint'])[:12]}` |"
        for name, each in lock["data"].items()
    )
    stages = "\n".join(
        f"| {stage['name']} | {stage['steps']:,} | {stage['seconds']:.0f} | {stage['loss']:.4f} | "
        f"{'' if stage.get('judged') is None else stage['judged']} |"
        for stage in facts["stages"]
    )
    return (
        f"## How it was made\n\nFrom `{recipe.model.base}` (fingerprint `{lock['base'].get('fingerprint')}`), seed "
        f"{recipe.seed}, by `recipe.yaml`; versions and hashes are in `recipe.lock.yaml`.\n\n"
        f"| data | kind | records | hash |\n|---|---|---:|---|\n{data}\n\n"
        f"| stage | steps | seconds | mean loss | judged |\n|---|---:|---:|---:|---:|\n{stages}\n"
    )


def _licence(recipe: Recipe, lock: Mapping[str, Any]) -> str:
    inherited = lock["base"].get("licence")
    start = f" Its start model is under {inherited}." if inherited else ""
    return (
        f"## Licence and lineage\n\n{recipe.licence}.{start} Whether the training data allow this use is for the "
        "one who made the model to answer.\n"
    )
