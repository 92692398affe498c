"""The picture of a replication: each arm's figure with its seeds as dots, and the baseline as a line; SVG text."""

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["dots_chart"]

WIDTH, LEFT, ROW = 760, 260, 28
STYLE = (
    "<style>text{font:13px sans-serif;fill:#333}.s{font-size:11px;fill:#666}.grid{stroke:#ddd}"
    ".base{stroke:#d1742b;stroke-dasharray:4 3}.seed{fill:#2f6db3;fill-opacity:.55}.mean{stroke:#1c3f66;stroke-width:3}"
    "</style>"
)


def dots_chart(arms: Mapping[str, Sequence[float]], baseline: str, title: str) -> str:
    """A row per arm: a dot per seed, a bar at their mean; a dashed line through the baseline's mean.

    arms       {name: figure of each seed}; baseline   one of them
    """
    values = [value for each in arms.values() for value in each]
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or 0.05
    low, high, right = low - pad, high + pad, WIDTH - 80
    height = ROW * len(arms) + 56

    def place(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (right - LEFT)

    parts = [STYLE, f'<text x="10" y="16">{escape(title)}</text>']
    for step in range(5):
        at = low + (high - low) * step / 4
        parts.append(f'<line x1="{place(at):.1f}" y1="26" x2="{place(at):.1f}" y2="{height - 24}" class="grid"/>')
        parts.append(f'<text x="{place(at):.1f}" y="{height - 8}" text-anchor="middle" class="s">{at:.3f}</text>')
    if baseline in arms:
        x = place(sum(arms[baseline]) / len(arms[baseline]))
        parts.append(f'<line x1="{x:.1f}" y1="26" x2="{x:.1f}" y2="{height - 24}" class="base"/>')
    for number, (name, seeds) in enumerate(arms.items()):
        y, mean = 42 + number * ROW, sum(seeds) / len(seeds)
        parts.append(f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        parts += [f'<circle cx="{place(value):.1f}" cy="{y}" r="5" class="seed"/>' for value in seeds]
        parts.append(f'<line x1="{place(mean):.1f}" y1="{y - 9}" x2="{place(mean):.1f}" y2="{y + 9}" class="mean"/>')
        parts.append(f'<text x="{right + 10}" y="{y + 4}">{mean:.3f}</text>')
    opening = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}"'
    return f'{opening} xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>\n'
