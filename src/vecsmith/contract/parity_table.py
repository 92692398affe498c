"""A parity report as text of 80 columns."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecsmith.contract.parity import ParityReport, ProbeRow

__all__ = ["table"]

MOST_TEXTS = 5


def table(report: "ParityReport") -> str:
    """A line per probe, then the verdict, its cause and the way out; of the caller's texts only the worst."""
    probes = [row for row in report.rows if not row.name.startswith("text ")]
    texts = [row for row in report.rows if row.name.startswith("text ")]
    lines = [*_wrapped(f"{report.model} against {report.target}", ""), ""]
    lines.append(f"{'probe':<15}{'cosine':>10}{'difference':>14}{'length':>12}{'of target':>12}")
    lines += [_line(row) for row in probes]
    if texts:
        texts.sort(key=lambda row: -(row.difference if row.difference is not None else -1.0))
        lines += [f"the worst of {len(texts):,} texts:", *map(_line, texts[:MOST_TEXTS])]
    lines.append("")
    lines += _wrapped(f"{report.verdict}{_figures(report)}", "verdict: ")
    if report.cause is not None:
        sure = f" (left over: {report.cause.residual:.1e})" if report.cause.residual is not None else " (by exclusion)"
        lines += _wrapped(f"{report.cause.kind}: {report.cause.words}{sure}", "cause:   ")
        if report.cause.mend:
            lines += _wrapped(report.cause.mend, "mend:    ")
    for note in report.notes:
        lines += _wrapped(note, "note:    ")
    return "\n".join(lines)


def _line(row: "ProbeRow") -> str:
    if row.refused:
        return f"{row.name:<15}  refused: {row.refused}"[:80]
    cosine = "-" if row.cosine is None else f"{row.cosine:.6f}"
    difference = "-" if row.difference is None else f"{row.difference:.1e}"
    return f"{row.name:<15}{cosine:>10}{difference:>14}{row.length:>12.4f}{row.target_length or 0.0:>12.4f}"


def _figures(report: "ParityReport") -> str:
    if report.worst is None:
        return f"; width {report.widths[0]} against {report.widths[1]}"
    return f"; largest difference {report.worst:.1e}, allowed {report.tolerance:.0e}"


def _wrapped(words: str, head: str) -> list[str]:
    return textwrap.wrap(
        words,
        80,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
