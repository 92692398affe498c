"""An inspection as text of 80 columns: what needs action first, then what was read, then the figures."""

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vecsmith.data.inspection.findings import Finding
    from vecsmith.data.inspection.inspect import Inspection
    from vecsmith.data.inspection.lengths import Quantiles
    from vecsmith.data.inspection.reading import Reading

__all__ = ["fit", "inspection_lines", "table"]

WIDTH = 80
SCRIPTS_SHOWN, ATTRIBUTES_SHOWN, SPLITS_SHOWN = 16, 30, 20
RARE = 0.0005


def inspection_lines(
    path: str, reading: "Reading", inspection: "Inspection", findings: "Sequence[Finding]"
) -> Iterator[str]:
    """The whole text, line by line."""
    yield fit(path)
    yield from _wrapped(reading.words, "")
    if not any(finding.act for finding in findings):
        yield from ("", "Nothing needs action.")
    for title, act in (("Needs action", True), ("Good to know", False)):
        chosen = [finding for finding in findings if finding.act is act]
        if chosen:
            yield from ("", title)
            for number, finding in enumerate(chosen, 1):
                yield from _finding(finding, f"{number:>3}. " if act else "  -  ")
    yield from _how(reading)
    yield from _counts(reading, inspection)
    yield from _lengths(inspection)
    yield from _scores(inspection)
    yield from _labels(inspection)
    yield from _attributes(inspection)
    yield from _scripts(inspection)


def _finding(finding: "Finding", mark: str) -> Iterator[str]:
    indent = " " * len(mark)
    yield from _wrapped(finding.words, mark, indent)
    for example in finding.examples:
        for line in _visible(example).splitlines():
            yield fit(f"{indent}  {line}")
    for place, line in enumerate(finding.way_out.splitlines()):
        arrow = f"{indent}-> " if not place else f"{indent}   "
        if "import " in line or " = " in line:  # never wrapped: it is copied
            yield arrow + line
        else:
            yield from _wrapped(line, arrow, f"{indent}   ")


def _how(reading: "Reading") -> Iterator[str]:
    yield from ("", "How it was read")
    if reading.parts:
        yield from table([(part.column, part.part, part.why) for part in reading.parts])
    for note in reading.notes:
        yield from _wrapped(note, "  -  ", "     ")
    if len(reading.files) > 1:
        rows = [(name, role or "-", "" if count is None else f"{count:,} rows") for name, role, count in reading.files]
        yield from table(rows)


def _counts(reading: "Reading", inspection: "Inspection") -> Iterator[str]:
    counts = inspection.counts
    yield from ("", "Counts")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in inspection.kinds.items())
    rows = [("distinct texts", f"{counts['inputs']:,}", "")]
    if counts["documents"]:
        rows.append(("documents", f"{counts['documents']:,}", ""))
    rows.append(("records", f"{counts['records']:,}", kinds if len(inspection.kinds) > 1 else ""))
    if counts["queries"]:
        grades = ", ".join(f"{grade:g}" for grade in counts["grades"][:8])
        rows.append(("distinct queries", f"{counts['queries']:,}", ""))
        rows.append(("judgements", f"{counts['judgements']:,}", f"grades {grades}" if grades else ""))
    if counts["most_positives"] > 1:
        rows.append(("positives", f"{counts['positives']:,}", f"at most {counts['most_positives']:,} of one record"))
    if counts["negatives"]:
        rows.append(("negatives", f"{counts['negatives']:,}", f"at most {counts['most_negatives']:,} of one record"))
    if inspection.groups:
        rows.append(("groups", f"{inspection.groups:,}", ""))
    yield from table(rows, right=(1,))
    named = {name: split for name, split in inspection.splits.items() if name}
    if named:
        shown = list(inspection.splits.items())[:SPLITS_SHOWN]
        head = ("split", "records", "documents")
        splits = [(name or "(none)", f"{split['records']:,}", f"{split['documents']:,}") for name, split in shown]
        yield from table([head, *splits], right=(1, 2))
        if len(inspection.splits) > SPLITS_SHOWN:
            yield f"  and {len(inspection.splits) - SPLITS_SHOWN:,} more splits"


def _lengths(inspection: "Inspection") -> Iterator[str]:
    if not inspection.lengths:
        return
    yield from ("", "Lengths")
    rows: list[Sequence[str]] = [("", "", "least", "5 %", "median", "95 %", "99 %", "greatest", "mean")]
    notes = []
    for part, lengths in inspection.lengths.items():
        rows.append((part, "chars", *_quantiles(lengths.characters)))
        if lengths.tokens is not None:
            rows.append(("", "tokens", *_quantiles(lengths.tokens.quantiles)))
            over = ", ".join(f"{share:.2%} over {limit}" for limit, share in lengths.tokens.over.items())
            of = f" (of {lengths.tokens.texts:,} drawn)" if lengths.tokens.texts < lengths.texts else ""
            notes.append(f"{part}: {over} tokens{of}")
    yield from table(rows, right=range(2, 9))
    for note in notes:
        yield from _wrapped(note, "  ")


def _scores(inspection: "Inspection") -> Iterator[str]:
    if inspection.scores is not None and not inspection.counts["queries"]:
        yield from ("", "Scores, brought to 0..1")
        head = ("least", "5 %", "median", "95 %", "99 %", "greatest", "mean")
        yield from table([head, [f"{value:.3g}" for value in _values(inspection.scores)]], right=range(7))


def _labels(inspection: "Inspection") -> Iterator[str]:
    labels = inspection.labels
    if labels is None:
        return
    yield from ("", f"Labels: {labels.classes:,} classes of {labels.records:,} records")
    even = f"{labels.entropy:.2f} bits, {labels.balance:.0%} of those of equal classes"
    yield from _wrapped(f"entropy {even}", "  ")
    shown = [(name, f"{count:,}", f"{count / labels.records:.1%}") for name, count in labels.largest]
    if labels.classes > len(shown):
        last = [(name, f"{count:,}", f"{count / labels.records:.1%}") for name, count in reversed(labels.smallest)]
        rest = labels.classes - len(shown) - len(last)
        shown = [*shown, *([("...", f"{rest:,} more", "")] if rest > 0 else []), *last[max(0, -rest) :]]
    yield from table(shown, right=(1, 2))


def _attributes(inspection: "Inspection") -> Iterator[str]:
    if not inspection.attributes:
        return
    yield from ("", "Attributes")
    rows: list[Sequence[str]] = [("", "type", "distinct", "missing", "range, or the most common")]
    for name, values in list(inspection.attributes.items())[:ATTRIBUTES_SHOWN]:
        if values.least is not None:
            said = f"{_plain(values.least)} to {_plain(values.greatest)}"
        else:
            said = ", ".join(f"{_plain(value)} {count:,}" for value, count in values.common)
        rows.append((name, values.type, f"{values.distinct:,}", f"{values.missing:,}", said or "all different"))
    yield from table(rows, right=(2, 3))
    if len(inspection.attributes) > ATTRIBUTES_SHOWN:
        yield f"  and {len(inspection.attributes) - ATTRIBUTES_SHOWN:,} more"


def _scripts(inspection: "Inspection") -> Iterator[str]:
    scripts = inspection.scripts
    yield from ("", "Scripts")
    shown = [(name, share) for name, share in scripts.letters.items() if share >= RARE][:SCRIPTS_SHOWN]
    rows = [(name, _share(share), f"{scripts.texts.get(name, 0):,} texts") for name, share in shown]
    if rest := list(scripts.letters)[len(shown) :]:
        rows.append((f"{len(rest)} more", _share(sum(scripts.letters[name] for name in rest)), ", ".join(rest)))
    if scripts.without_letters:
        rows.append(("no letters", "", f"{scripts.without_letters:,} texts"))
    yield from table(rows, right=(1,))


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> Iterator[str]:
    """Rows as columns of one width, two spaces in; the last column is cut where 80 are full."""
    right = set(right)
    count = max(len(row) for row in rows)
    widths = [min(32, max(len(row[place]) if place < len(row) else 0 for row in rows)) for place in range(count)]
    for row in rows:
        cells = []
        for place, cell in enumerate(row):
            cell = _visible(str(cell))
            cell = cell if len(cell) <= widths[place] or place == count - 1 else cell[: widths[place] - 3] + "..."
            cells.append(cell.rjust(widths[place]) if place in right else cell.ljust(widths[place]))
        yield fit("  " + "  ".join(cells).rstrip())


def fit(line: str) -> str:
    """A line cut to 80 columns, of which Chinese, Japanese and Korean characters take two."""
    if len(line) <= WIDTH and (line.isascii() or sum(map(_columns, line)) <= WIDTH):
        return line
    taken = 0
    for place, character in enumerate(line):
        taken += _columns(character)
        if taken > WIDTH - 3:
            return line[:place] + "..."
    return line


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=first if rest is None else rest, break_on_hyphens=False
    )


def _visible(text: str) -> str:
    """Control and direction characters as escapes, so that a text shows what it holds and cannot turn the line."""
    return "".join(
        character if character.isprintable() or character == "\n" else _escape(character) for character in text
    )


def _escape(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 256 else f"\\u{point:04x}" if point < 65536 else f"\\U{point:08x}"


def _values(quantiles: "Quantiles") -> tuple[float, ...]:
    q = quantiles
    return (q.least, q.p5, q.median, q.p95, q.p99, q.greatest, q.mean)


def _quantiles(quantiles: "Quantiles") -> list[str]:
    *cuts, mean = _values(quantiles)
    return [*(f"{cut:,.0f}" for cut in cuts), f"{mean:,.1f}" if mean < 1000 else f"{mean:,.0f}"]


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= RARE else "under 0.1%"


def _plain(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value) or '""'
    text = text.removesuffix("T00:00:00+00:00")
    return text if len(text) <= 40 else text[:37] + "..."
