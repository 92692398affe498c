"""Embedding data in chat messages, as ms-swift trains on: one object per line.

    {"messages": [{"role": "user", "content": "how do I reset it?"}],
     "positive_messages": [[{"role": "user", "content": "Hold the button."}]],
     "negative_messages": [[{"role": "user", "content": "Pull the plug."}]], "label": 0.8}

A system message is an instruction for the text after it; a label is a score of the pair. Rows with "query", "response"
and "rejected_response", the older form, are a plain table. Format: docs/source_en/BestPractices/Embedding.md of
ms-swift.
"""

from collections.abc import Iterator
from typing import Any

from vecsmith.data.readers.examples import Example, ExampleOptions, Passage, Row, as_text

__all__ = ["is_messages", "message_examples"]

MEDIA = ("images", "videos", "audios")
KEYS = ("messages", "positive_messages", "negative_messages", "label", "id")
ROLES = ("user", "assistant")


def is_messages(cells: dict[str, object]) -> bool:
    """Whether a row has chat messages."""
    return isinstance(cells.get("messages"), list)


def message_examples(rows: Iterator[Row], options: ExampleOptions) -> Iterator[tuple[Row, Example | str]]:
    """Rows as examples, or the key whose text is missing.

    raises   DataError: images, conversations of several turns, instructions that differ within a row, unknown keys
    """
    for row in rows:
        yield row, _example(row, options)


def _example(row: Row, options: ExampleOptions) -> Example | str:
    for name in row.cells:
        if name.removeprefix("positive_").removeprefix("negative_") in MEDIA and _is_something(row.cells[name]):
            raise row.error("not text; only texts are read. Leave such rows out", name)
    media = (f"{side}{name}" for side in ("", "positive_", "negative_") for name in MEDIA)
    row.check_names((*KEYS, *media), options.ignore)
    instruction, query = _turn(row, row.cells.get("messages"), "messages")
    if query is None:
        return "messages"
    positives = _sequences(row, "positive_messages")
    negatives = [(system, text) for system, text in _sequences(row, "negative_messages") if text is not None]
    if any(text is None for _, text in positives):
        return "positive_messages"
    instructions = {system for system, _ in (*positives, *negatives)}
    if len(instructions) > 1:
        raise row.error(
            "the positives and negatives of a row have different instructions (system messages); a record has one for "
            "all its documents. Give all the same",
            "positive_messages",
        )
    fields: dict[str, Any] = {"instruction_query": instruction, "instruction_document": next(iter(instructions), None)}
    if row.cells.get("id") is not None:
        fields["id"] = str(row.cells["id"])
    score = _score(row, options)
    if score is not None:
        fields["scores"] = [score] * len(positives) + [0.0] * len(negatives)
    kind = "plain" if not positives else "retrieval" if score is None else "scored"
    return Example(
        query,
        [Passage(text) for _, text in positives if text],
        [Passage(text) for _, text in negatives if text],
        kind,
        fields,
    )


def _sequences(row: Row, name: str) -> list[tuple[str | None, str | None]]:
    value = row.cells.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, list) for each in value):
        raise row.error("one [] is missing: a list of message lists was expected, one list for each text", name)
    return [_turn(row, each, name) for each in value]


def _turn(row: Row, messages: Any, name: str) -> tuple[str | None, str | None]:
    """Instruction and text of a list of messages."""
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise row.error(f"{str(messages)[:40]!r}; a list of messages was expected", name)
    systems = [each for each in messages if each.get("role") == "system"]
    said = [each for each in messages if each.get("role") in ROLES]
    if unknown := [each for each in messages if each not in systems and each not in said]:
        raise row.error(f"the role {unknown[0].get('role')!r}; known: system, {', '.join(ROLES)}", name)
    if len(systems) > 1 or len(said) > 1:
        raise row.error(f"{len(messages)} messages; a text is one message, with one system message at most", name)
    return _content(row, systems, name), _content(row, said, name)


def _content(row: Row, messages: list[dict[str, Any]], name: str) -> str | None:
    if not messages:
        return None
    content = messages[0].get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
            raise row.error("a part that is no text; only texts are read. Leave such rows out", name)
        content = "".join(str(part.get("text") or "") for part in content)
    return as_text(content, row, name)


def _score(row: Row, options: ExampleOptions) -> float | None:
    label = row.cells.get("label")
    if label is None:
        return None
    low, high = options.score_range
    if isinstance(label, bool) or not isinstance(label, int | float) or not low <= label <= high:
        raise row.error(
            f"{str(label)[:40]!r}; a number from {low:g} to {high:g} was expected. Say the scale: score_range=(0, 5)",
            "label",
        )
    return (label - low) / (high - low)


def _is_something(value: Any) -> bool:
    """Whether there is anything but empty lists and nulls in it."""
    return any(map(_is_something, value)) if isinstance(value, list) else value is not None
