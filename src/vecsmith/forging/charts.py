"""The four pictures of the report as SVG text: arms with intervals, gains per query, quality against cost, a map.

Numbers in, a string out; every label is escaped; no script, no outside file, readable without colour.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

__all__ = ["arms_chart", "cost_chart", "gains_chart", "map_chart"]

WIDTH = 760
PALETTE = ("#2f6db3", "#d1742b", "#3b8f5a", "#a2478f", "#7a6a2b", "#c04a4a", "#4a9aa8", "#6b6b9c", "#8a8a8a")


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", style: str = "t") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str = "grid") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def arms_chart(arms: Sequence[dict[str, Any]], winner: str, measure: str = "ndcg@10") -> str:
    """A row per arm: its mean as a dot, its 95 % interval as a bar; the winner is filled and named.

    arms   rows of the verdict's summary: name, measures[measure] with mean, low, high
    """
    left, right, row = 250, WIDTH - 70, 30
    top = max(0.05, max(arm["measures"][measure]["high"] for arm in arms))
    bottom = max(0.0, min(arm["measures"][measure]["low"] for arm in arms) - 0.05)
    span = (top - bottom) or 1.0

    def place(value: float) -> float:
        return left + (value - bottom) / span * (right - left)

    height = row * len(arms) + 50
    parts = []
    for tick in _ticks(bottom, top):
        parts += [
            _line(place(tick), 10, place(tick), height - 36),
            _text(place(tick), height - 20, f"{tick:.2f}", anchor="middle", style="s"),
        ]
    parts.append(
        _text((left + right) / 2, height - 4, f"{measure}, 95 % interval over queries", anchor="middle", style="s")
    )
    for number, arm in enumerate(arms):
        value, y = arm["measures"][measure], 26 + number * row
        style = "win" if arm["name"] == winner else "arm"
        parts += [
            _text(left - 12, y + 4, arm["name"], anchor="end", style="b" if style == "win" else "t"),
            _line(place(value["low"]), y, place(value["high"]), y, f"{style}-bar"),
            f'<circle cx="{place(value["mean"]):.1f}" cy="{y}" r="5.5" class="{style}"/>',
            _text(right + 14, y + 4, f"{value['mean']:.3f}", style="b" if style == "win" else "t"),
        ]
    return _svg(height, f"{measure} of each arm", parts)


def gains_chart(differences: Sequence[float], title: str) -> str:
    """Every query's difference, sorted, as a filled curve above and below zero; how many gained, lost, stayed.

    differences   one number per query, -1..1
    """
    values = sorted(differences, reverse=True)
    left, right, height, middle = 50, WIDTH - 20, 200, 95
    step = (right - left) / max(1, len(values))
    scale = 75 / max(0.05, max((abs(value) for value in values), default=1.0))
    gained, lost = sum(v > 1e-9 for v in values), sum(v < -1e-9 for v in values)

    def area(style: str, keep: Any) -> str:
        points = [f"{left:.1f},{middle}"]
        for number, value in enumerate(values):
            y = middle - (value if keep(value) else 0.0) * scale
            points += [f"{left + number * step:.1f},{y:.1f}", f"{left + (number + 1) * step:.1f},{y:.1f}"]
        return f'<polygon points="{" ".join(points)} {right:.1f},{middle}" class="{style}"/>'

    parts = [
        area("up", lambda value: value > 0),
        area("down", lambda value: value < 0),
        _line(left, middle, right, middle, "axis"),
        _text(left - 6, middle + 4, "0", anchor="end", style="s"),
        _text(left - 6, 24, f"+{75 / scale:.2f}", anchor="end", style="s"),
        _text(left - 6, middle + 79, f"-{75 / scale:.2f}", anchor="end", style="s"),
        _text(left, height - 6, f"{gained:,} gained", style="s"),
        _text((left + right) / 2, height - 6, f"{len(values) - gained - lost:,} the same", anchor="middle", style="s"),
        _text(right, height - 6, f"{lost:,} lost", anchor="end", style="s"),
    ]
    return _svg(height, title, parts)


def cost_chart(arms: Sequence[dict[str, Any]], winner: str, measure: str = "ndcg@10") -> str:
    """Quality (up) against processor seconds per 1,000 documents (right, logarithmic): up and left is better."""
    left, right, height = 60, WIDTH - 190, 320
    costs = [max(arm["cost"]["prepare_seconds_per_1000"], 1e-4) for arm in arms]
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)) + 1e-9)
    high = max(high, low + 1)
    means = [arm["measures"][measure]["mean"] for arm in arms]
    bottom, top = max(0.0, min(means) - 0.05), max(means) + 0.03

    def across(cost: float) -> float:
        return left + (math.log10(cost) - low) / (high - low) * (right - left)

    def up(value: float) -> float:
        return height - 50 - (value - bottom) / (top - bottom) * (height - 80)

    parts = []
    for power in range(low, high + 1):
        x = across(10.0**power)
        parts += [
            _line(x, 20, x, height - 50),
            _text(x, height - 34, _seconds(10.0**power), anchor="middle", style="s"),
        ]
    for tick in _ticks(bottom, top):
        parts += [
            _line(left, up(tick), right, up(tick)),
            _text(left - 8, up(tick) + 4, f"{tick:.2f}", anchor="end", style="s"),
        ]
    parts.append(
        _text(
            (left + right) / 2, height - 12, "processor seconds to prepare 1,000 documents", anchor="middle", style="s"
        )
    )
    taken: list[tuple[float, float]] = []
    for arm, cost, value in sorted(zip(arms, costs, means, strict=True), key=lambda entry: -entry[2]):
        x, y = across(cost), up(value)
        style = "win" if arm["name"] == winner else "arm"
        label_y = _free(taken, x, y)
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" class="{style}"/>',
            _text(x + 11, label_y + 4, arm["name"], style="b" if style == "win" else "t"),
        ]
    return _svg(height, f"{measure} against cost", parts)


def _free(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """A height near y where a label at x hides no earlier one."""
    while any(abs(x - other_x) < 190 and abs(y - other_y) < 14 for other_x, other_y in taken):
        y += 3
    taken.append((x, y))
    return y


def map_chart(points: Sequence[Sequence[float]], groups: Sequence[str]) -> str:
    """Documents in the two strongest directions of their vectors, coloured by group.

    points   [x, y, group number]; a number past the end of `groups` means "other"
    """
    left, right, height = 20, WIDTH - 190, 420
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    low_x, span_x = min(xs), (max(xs) - min(xs)) or 1.0
    low_y, span_y = min(ys), (max(ys) - min(ys)) or 1.0
    parts = []
    for x, y, group in sorted(points, key=lambda p: -p[2]):
        colour = PALETTE[min(int(group), len(PALETTE) - 1)]
        px = left + (x - low_x) / span_x * (right - left)
        py = height - 20 - (y - low_y) / span_y * (height - 40)
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.6" fill="{colour}" fill-opacity="0.65"/>')
    for number, name in enumerate([*groups, "other"]):
        y = 30 + number * 20
        parts += [
            f'<circle cx="{right + 24}" cy="{y - 4}" r="5" fill="{PALETTE[min(number, len(PALETTE) - 1)]}"/>',
            _text(right + 36, y, name if len(name) <= 22 else f"{name[:21]}…", style="s"),
        ]
    return _svg(height, "Map of the documents", parts)


def _ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / s <= 8)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 6) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms"
