"""What in an inspection needs action, and what is worth knowing: in words, each with the way out."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from vecsmith.data.inspection.inspect import Inspection
from vecsmith.data.inspection.leaks import side_rank
from vecsmith.data.inspection.leaks_shown import LeakShown
from vecsmith.data.inspection.texts import MARKUP, MOJIBAKE
from vecsmith.data.inspection.values import Values

__all__ = ["Finding", "findings_of"]

UNEQUAL = 20  # times the smallest class
MANY = 0.01  # share of copies, or of texts that are too long, from which it is worth a word
FEW = 0.001  # share of texts with odd characters that is let pass
UNKNOWN = 0.05  # share of tokens
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Finding:
    """act: something is wrong and will show in results; else it is good to know. `way_out` may have several lines."""

    act: bool
    words: str
    way_out: str = ""
    examples: tuple[str, ...] = ()


def findings_of(inspection: Inspection, *, unknown_share: float | None = None) -> list[Finding]:
    """Findings of an inspection, those that need action first.

    unknown_share    share of tokens that the model at hand does not know, 0..1
    """
    found = [
        *_leaks(inspection),
        *_answers(inspection),
        *_labels(inspection),
        *_signs(inspection),
        *_copies(inspection),
        *_lengths(inspection),
        *_unknown(unknown_share),
        *_openings(inspection),
        *_attributes(inspection),
    ]
    return sorted(found, key=lambda finding: not finding.act)


def _leaks(inspection: Inspection) -> Iterator[Finding]:
    """Those of what judges first; the way out once."""
    sides: dict[tuple[str, str], list[LeakShown]] = {}
    for shown in inspection.leaks:
        sides.setdefault((shown.leak.earlier, shown.leak.later), []).append(shown)
    way_out = _without_leaks(inspection)
    for (earlier, later), leaks in sorted(sides.items(), key=lambda entry: _importance(*entry[0])):
        whole = next((shown for shown in leaks if shown.leak.kind == "record"), None)
        for shown in leaks:
            if shown.shared_corpus and shown.leak.kind == "document":
                yield _shared_answers(shown)
            elif shown is not whole:
                yield Finding(True, _leak_words(shown, whole), way_out, _leak_examples(shown))
                way_out = "as above"
        if whole is not None and len(leaks) == 1:
            words = f"{_of(whole.leak.affected, whole.leak.records)} records of {later} stand in {earlier} too"
            yield Finding(True, words, way_out, _leak_examples(whole))
            way_out = "as above"


def _importance(earlier: str, later: str) -> tuple[int, int, str]:
    return -(side_rank(later) or 0), side_rank(earlier) or 0, later


def _shared_answers(shown: LeakShown) -> Finding:
    leak = shown.leak
    words = (
        f"{leak.shared:,} answers of {leak.later} are answers in {leak.earlier} too "
        f"({_of(leak.affected, leak.records)} of its queries); both ask one corpus"
    )
    return Finding(False, words, "expected of a shared corpus; say so beside results", _leak_examples(shown))


def _leak_examples(shown: LeakShown) -> tuple[str, ...]:
    if shown.examples:
        return tuple(quoted(text) for text in shown.examples[:2])
    leak = shown.leak
    return tuple(
        f"{leak.earlier}: {quoted(one)}\n{leak.later}: {quoted(other)}" for one, other in shown.near_examples[:1]
    )


def _leak_words(shown: LeakShown, whole: LeakShown | None) -> str:
    """One sentence; `whole`: the records that both sides have word for word."""
    leak = shown.leak
    if leak.kind == "group":
        return f"{_counted(leak.shared, 'group has', 'groups have')} rows in {leak.later} and in {leak.earlier}"
    noun = {"text": "text", "query": "query", "document": "document"}[leak.kind]
    more = [f"{_counted(leak.shared, noun, _plural(noun))}"]
    more += [f"{whole.leak.affected:,} of the records word for word"] if whole is not None else []
    more += [f"{_counted(leak.near, 'more differs', 'more differ')} in case or white space only"] if leak.near else []
    if not leak.shared:
        verb = f"{noun} of {leak.later} stands", f"{_plural(noun)} of {leak.later} stand"
        return f"{_counted(leak.near, *verb)} in {leak.earlier} but for case or white space"
    if not leak.affected:
        return f"{_counted(leak.shared, noun, _plural(noun))} of {leak.later} are in {leak.earlier} too"
    return (
        f"{_of(leak.affected, leak.records)} records of {leak.later} have a {noun} that stands in {leak.earlier} too "
        f"({'; '.join(more)})"
    )


def _without_leaks(inspection: Inspection) -> str:
    names = {name for shown in inspection.leaks for name in (shown.leak.earlier, shown.leak.later)}
    train, *held = sorted(names, key=lambda name: (side_rank(name) or 0, name)) or ["train", "dev", "test"]
    arguments = "" if train == "train" else f", train={train!r}"
    arguments += "" if set(held) <= {"dev", "test"} else f", held_out={tuple(held)!r}"
    code = f"from vecsmith.data.split import without_leaks\ndata, left = without_leaks(data{arguments})"
    return f"vecsmith forge takes them out by itself; in Python:\n{code}"


def _answers(inspection: Inspection) -> Iterator[Finding]:
    copies, counts = inspection.copies, inspection.counts
    if counts["negatives_that_are_positives"]:
        yield Finding(
            True,
            f"{counts['negatives_that_are_positives']:,} negatives are positives of the same query",
            "take them out of the negatives: training would push the right answer away",
        )
    if copies.contradicting and not (inspection.labels and inspection.labels.several):
        examples = tuple(f"{one} and {other}: {quoted(text)}" for text, one, other in copies.contradicting_examples[:2])
        what = "label" if inspection.labels else "score"
        things = "pair" if set(inspection.kinds) & {"pair", "scored"} else "text"
        yield Finding(
            bool(inspection.labels),
            f"{_counted(copies.contradicting, f'{things} stands', f'{things}s stand')} with more than one {what}",
            "decide for one, or leave them out; no model can be right on both",
            examples,
        )


def _labels(inspection: Inspection) -> Iterator[Finding]:
    labels = inspection.labels
    if labels is None:
        return
    for side, names in labels.missing.items() if not labels.several else ():
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        yield Finding(
            True,
            f"{_counted(len(names), 'class', 'classes')} of {side} never stand{'s' if len(names) == 1 else ''} in "
            f"training: {shown}",
            "split anew, by class; or leave these classes out of the judging",
        )
    if labels.several:
        yield Finding(
            True,
            f"{labels.several:,} labels look like several in one cell; each combination is a class of its own here "
            f"({labels.classes:,} in all)",
            "write a row for each label, or a column that holds lists, and read it with each=",
        )
    elif labels.single:
        yield Finding(
            True,
            f"{_counted(labels.single, 'class has', 'classes have')} one text only",
            "such a class gives no pair to train on and cannot be split; merge it or leave it out",
        )
    if labels.without:
        yield Finding(False, f"{labels.without:,} records have no label")
    largest, smallest = labels.largest[0], labels.smallest[0]
    if largest[1] >= UNEQUAL * smallest[1]:
        yield Finding(
            False,
            f'classes are unequal: "{largest[0]}" has {largest[1]:,} texts, "{smallest[0]}" {smallest[1]:,}',
            "report macro F1 beside accuracy; always answering the largest class is right in "
            f"{largest[1] / labels.records:.0%}",
        )


WAYS_OUT = {
    "NUL": "the source is damaged; fetch it again",
    "replacement character": "text was lost when the source was read in the wrong encoding; read it again in its own",
    "control character": "left from another encoding or a broken escape; replace them at the source",
    "half of a surrogate pair": "write the source again as valid UTF-8",
    "UTF-8 read as Windows-1252": "each is text.encode('cp1252').decode('utf-8') away from right",
    "HTML markup": "import html; html.unescape(text), and strip tags",
}


SIGN = re.compile(
    f"[\0-\x08\x0b-\x1f\x7f-\x9f\ufffd\u200b\u200e\u200f\u202a-\u202e]|{MOJIBAKE.pattern}|{MARKUP.pattern}",
    re.IGNORECASE,
)


def _signs(inspection: Inspection) -> Iterator[Finding]:
    """Each odd sign that many texts have; the rare ones together, with one example."""
    texts = inspection.counts["inputs"]
    rare = []
    for sign in inspection.signs:
        if sign.texts < FEW * texts:
            rare.append(sign)
            continue
        words = f"{_of(sign.texts, texts)} texts have {_article(sign.name)}"
        examples = tuple(quoted(_around(text)) for text in sign.examples[:1])
        yield Finding(sign.name in WAYS_OUT, words, WAYS_OUT.get(sign.name, ""), examples)
    if rare:
        named = ", ".join(f"{sign.texts:,} {_article(sign.name)}" for sign in rare)
        yield Finding(
            False,
            f"few of the {texts:,} texts have odd characters: {named}",
            "",
            (quoted(_around(rare[0].examples[0])),),
        )
    if inspection.scripts.mixed:
        examples = tuple(quoted(text) for text in inspection.scripts.mixed_examples[:1])
        yield Finding(False, f"{_of(inspection.scripts.mixed, texts)} texts mix two scripts", "", examples)


def _article(name: str) -> str:
    if name in ("NUL", "HTML markup") or name.startswith("UTF-8"):
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _around(text: str) -> str:
    """A text from a little before what is odd in it."""
    found = SIGN.search(text)
    return text if found is None or found.start() < 40 else "..." + text[found.start() - 30 :]


def _copies(inspection: Inspection) -> Iterator[Finding]:
    copies, counts = inspection.copies, inspection.counts
    if copies.records:
        examples = tuple(f"{times} times: {quoted(text)}" for text, times in copies.record_examples[:2])
        yield Finding(
            copies.records >= MANY * counts["records"],
            f"{_of(copies.records, counts['records'])} records are copies of another one",
            "drop them at the source: in training they weigh double, in judging they make intervals too narrow",
            examples,
        )
    if copies.documents and not copies.records:
        examples = tuple(f"{times} times: {quoted(text)}" for text, times in copies.examples[:2])
        yield Finding(
            copies.documents >= MANY * counts["documents"],
            f"{_of(copies.documents, counts['documents'])} documents have the text of another one",
            "a search returns every copy; without an id column, equal documents are read as one",
            examples,
        )
    if copies.near:
        nearest = sorted(copies.near_examples, key=lambda group: max(map(len, group)))[:1]
        examples = tuple("\n".join(quoted(text) for text in group[:2]) for group in nearest)
        yield Finding(
            False,
            f"{_of(copies.near, counts['inputs'])} texts differ from another in case or white space only",
            "",
            examples,
        )


def _lengths(inspection: Inspection) -> Iterator[Finding]:
    for part, lengths in inspection.lengths.items():
        if lengths.tokens is None:
            continue
        limit, share = next(((limit, share) for limit, share in lengths.tokens.over.items() if share >= MANY), (0, 0.0))
        if limit:
            yield Finding(
                False,
                f"{share:.0%} of the {part} are longer than {limit} tokens, where many models stop reading",
                'cut them into passages, or encode with on_truncation="chunk"',
            )
    if inspection.short:
        yield Finding(False, f"{_of(inspection.short, inspection.counts['inputs'])} texts have one or two characters")
    if inspection.long:
        yield Finding(False, f"{inspection.long:,} texts have over 100,000 characters", "cut them into passages")


def _unknown(share: float | None) -> Iterator[Finding]:
    if share is not None and share >= UNKNOWN:
        yield Finding(
            True,
            f"{share:.0%} of the tokens are unknown to the default model",
            "choose a model that knows the language; scores of the default model mean little here",
        )


def _openings(inspection: Inspection) -> Iterator[Finding]:
    for opening in inspection.openings:
        verb = "begin" if opening.where == "beginning" else "end"
        yield Finding(
            False,
            f"{_of(opening.texts, opening.of)} texts {verb} with the same {len(opening.text)} characters",
            "a prompt or boilerplate? take it out before training; prompts belong to the model",
            (quoted(opening.text),),
        )


def _attributes(inspection: Inspection) -> Iterator[Finding]:
    one = [name for name, values in inspection.attributes.items() if values.distinct <= 1]
    if one:
        yield Finding(
            False, f"no filter can use {', '.join(one)}: {'it has' if len(one) == 1 else 'each has'} one value or none"
        )
    if not set(inspection.kinds) <= {"plain", "class"}:
        return
    is_plain = "class" not in inspection.kinds
    for name, values in inspection.attributes.items():
        rows = values.documents - values.missing
        if is_plain and values.type in ("text", "int", "bool") and 2 <= values.distinct <= min(MOST_CLASSES, rows / 20):
            words = f"{name} has {values.distinct:,} values for {rows:,} texts; is it their label?"
            yield Finding(False, words, f"--label {shlex.quote(name)}")
        elif values.type == "text" and values.distinct > rows / 2 and _is_prose(values):
            words = f"{name} holds texts too ({values.distinct:,} of them); are they the other half of pairs?"
            yield Finding(not is_plain, words, f"--query {shlex.quote(name)}")


def _is_prose(values: Values) -> bool:
    """Whether the most common values have several words."""
    return bool(values.common) and all(str(value).count(" ") >= 2 for value, _ in values.common)


def _of(count: int, total: int) -> str:
    """A count of a total and its share: "249 of 1,379 (18 %)"; "all 5"."""
    if count == total:
        return f"all {total:,}"
    share = 100 * count / max(1, total)
    return (
        f"{count:,} of {total:,} ({'under 0.1' if share < 0.1 else f'{share:.2g}' if share < 10 else f'{share:.0f}'} %)"
    )


def quoted(text: str) -> str:
    """A text on one line, in quotes."""
    escaped = text.replace("\n", "\\n")
    return f'"{escaped}"'


def _plural(noun: str) -> str:
    return "queries" if noun == "query" else f"{noun}s"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
