"""An evidence file as a page of the documentation, as an index of all, and as the table that the command prints."""

from collections.abc import Sequence
from typing import Any

from replications.bench.interval import HOW

__all__ = ["index_page", "page", "table"]

Evidence = dict[str, Any]


def table(evidence: Evidence) -> str:
    """The figures at 80 columns: verdict, headline, arms with the figure of each seed, checks."""
    metric = evidence["metric"]
    width = min(34, max(len(name) for name in evidence["arms"]))
    lines = [
        f"{evidence['key']}: {evidence['verdict']}",
        f"  {evidence['words']}: {evidence['figure']:+.4f} [{evidence['low']:+.4f}, {evidence['high']:+.4f}]",
        "",
        f"  {metric:<{width}}  {'mean':>7}  each seed",
    ]
    for name, measures in evidence["arms"].items():
        if metric in measures:
            each = measures[metric]
            mean = sum(each) / len(each)
            lines.append(f"  {name[:width]:<{width}}  {mean:7.4f}  {' '.join(f'{value:.4f}' for value in each)}")
    lines.append("")
    for check in evidence["checks"]:
        lines.append(f"  {'passed' if check['passed'] else 'FAILED'}  {check['name']}: {check['found']:g}")
        lines.append(f"          wanted: {check['accept']}")
    lines += [f"  open    {words}" for words in evidence["open"]]
    if evidence["bed"].get("other"):
        lines.append(f"  other bed: {evidence['bed']}; these figures are not those of the list, and no state follows")
    lines.append(f"  {len(evidence['seeds'])} seeds, {evidence['minutes']} processor minutes, {evidence['date']}")
    return "\n".join(lines)


def page(evidence: Evidence) -> str:
    """The page of a replication, Markdown."""
    seeds = evidence["seeds"]
    parts = [
        f"# {evidence['paper']}",
        "",
        f"Row {evidence['row']}. Claim tested: {evidence['claim']}.",
        "",
        f"**{evidence['verdict'].capitalize()}.** {evidence['words']}: {evidence['figure']:+.4f} "
        f"[{evidence['low']:+.4f}, {evidence['high']:+.4f}].",
        "",
        f"![{evidence['key']}]({evidence['key']}.svg)",
        "",
        f"Baseline: {evidence['baseline']}.",
        "",
        "## Figures",
        "",
        "| arm | measure | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |",
        "|---|---|" + "--:|" * (len(seeds) + 1),
    ]
    for name, measures in evidence["arms"].items():
        for measure, each in measures.items():
            cells = " | ".join(f"{value:.4f}" for value in each)
            parts.append(f"| {name} | {measure} | {cells} | {sum(each) / len(each):.4f} |")
    parts += ["", "## Checks", "", "| | check | kind | wanted | found |", "|---|---|---|---|--:|"]
    for check in evidence["checks"]:
        found = f"{check['found']:g}"
        if "low" in check:
            found += f" [{check['low']:+.4f}, {check['high']:+.4f}]"
        mark = "passed" if check["passed"] else "**failed**"
        parts.append(f"| {mark} | {check['name']} | {check['kind']} | {check['accept']} | {found} |")
    if evidence["notes"]:
        parts += ["", "## Seen besides", "", *[f"- {words}" for words in evidence["notes"]]]
    if evidence["open"]:
        parts += ["", "## Open", "", *[f"- {words}" for words in evidence["open"]]]
    parts += ["", "## How", "", f"Intervals: {HOW}.", "", _how(evidence), ""]
    return "\n".join(parts)


def index_page(all_evidence: Sequence[Evidence]) -> str:
    """The list of all replications, Markdown."""
    parts = [
        "# Replications",
        "",
        "What each replicated method did here, at the scale of this project: a difference to its baseline with its",
        "interval, and a verdict by rules that stand in the replication's `config.toml`. Again, in a checkout:",
        "`vecsmith replicate KEY`.",
        "",
        "- **shown**: the whole interval lies above the border, and every check passed;",
        "- **contradicted**: the whole interval lies below the border, or that of a check of the claim below 0;",
        "- **not shown at this scale**: anything else; the difference is inside the noise, or a check failed.",
        "",
        "The border is 0; where the claim is that a method is *not worse*, it is -0.005, as for all such claims.",
        "",
        "| row | method | verdict | difference | 95 % interval | seeds | minutes | date |",
        "|--:|---|---|--:|---|--:|--:|---|",
    ]
    parts += [_row(each) for each in sorted(all_evidence, key=lambda evidence: int(evidence["row"]))]
    return "\n".join([*parts, ""])


def _row(each: Evidence) -> str:
    cells = [
        each["row"],
        f"[{each['paper']}]({each['key']}.md)",
        each["verdict"],
        f"{each['figure']:+.4f}",
        f"[{each['low']:+.4f}, {each['high']:+.4f}]",
        len(each["seeds"]),
        each["minutes"],
        each["date"],
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _how(evidence: Evidence) -> str:
    bed = ", ".join(f"{name} {value}" for name, value in evidence["bed"].items() if value)
    words = f"{evidence['date']}, {evidence['minutes']} processor minutes, {evidence['machine']}"
    return f"{words}; revision {evidence['revision']}. Bed: {bed}. Again: `{evidence['command']}`."
