"""`report.json` to `report.html`: one file that opens offline, runs no script and loads nothing."""

from pathlib import Path
from typing import Any

from vecsmith.atomic import write_text
from vecsmith.errors import MissingExtra
from vecsmith.forging.charts import arms_chart, cost_chart, gains_chart, map_chart

__all__ = ["render", "write_page"]

TEMPLATE = Path(__file__).with_name("page.html")


def render(report: dict[str, Any]) -> str:
    """The page as HTML; every text is escaped by the template, every chart by its maker.

    report   the value of report.json
    raises   MissingExtra: jinja2 is not installed
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtra("plot", "the report page") from error

    arms, winner = report["arms"], report["verdict"]["winner"]
    drawn = {
        "arms": Markup(arms_chart(arms, winner)),
        "cost": Markup(cost_chart(arms, winner)),
        "map": Markup(map_chart(report["map"]["points"], report["map"]["groups"])) if report.get("map") else "",
    }
    gains = [
        {**gain, "chart": Markup(gains_chart(gain["differences"], gain["title"]))} for gain in report.get("gains", [])
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(**{**report, "gains": gains}, charts=drawn)


def write_page(report: dict[str, Any], path: Path) -> None:
    """Render and write atomically."""
    write_text(path, render(report))
