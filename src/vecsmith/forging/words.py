"""What forge says in a terminal: the plan before, the answer after; 80 columns, numbers with their intervals."""

import textwrap
from typing import Any

__all__ = ["answer", "plan_words"]

COLUMNS = 80


def plan_words(plan: dict[str, Any]) -> str:
    """The plan as lines: what was found, which pairs, how many steps, how long."""
    scaled = plan["plan"]
    lines = [f"Source  {plan['source']['name']}: {plan['source']['words']}"]
    lines += [f"        {line}" for line in plan["source"]["notes"]]
    lines += _wrapped("Pairs   ", plan["pairs"])
    lines.append(
        f"Judge   {scaled['test_queries']:,} test queries over {scaled['test_documents']:,} documents; "
        f"{scaled['dev_queries']:,} dev queries"
    )
    for model in scaled["models"]:
        fit = f"{model['steps']:,} steps of {model['batch_size']} pairs" if model["steps"] else "not fitted"
        lines.append(
            f"Model   {model['model']}: {fit}, about {model['fit_seconds']:.0f} s; "
            f"judging about {model['judge_seconds']:.0f} s"
        )
    for line in scaled["left_out"]:
        lines += _wrapped("Left out: ", line)
    lines.append(f"Time    about {plan['seconds']:.0f} s of the {scaled['minutes']:g} minutes given")
    return "\n".join(lines)


def answer(report: dict[str, Any]) -> str:
    """The answer, the table of arms, the example questions and the command to type next."""
    lines: list[str] = [""]
    for line in report["verdict"]["lines"]:
        lines += textwrap.wrap(line, COLUMNS, subsequent_indent="  ")
    lines += ["", *_table(report["arms"], report["verdict"]["winner"]), ""]
    for example in report["examples"]:
        where = f"   where {example['where']}" if example["where"] else ""
        lines.append(_cut(f'"{example["query"]}"{where}'))
        lines += [_cut(f"  {hit['score']:.2f}  {hit['id']}  {hit['snippet']}") for hit in example["hits"]]
    if report["left_out"]:
        lines += ["", "Left out:"]
        for line in report["left_out"]:
            lines += _wrapped("  ", line)
    for line in report["warnings"]:
        lines += _wrapped("Warning: ", line)
    lines += ["", f"Left in {report['output']}: model/ index/ recipe.yaml recipe.lock.yaml report.json report.html"]
    if report["gate"] is not None:
        lines.append(f"Gate {report['gate']['name']}: {'passed' if report['gate']['passed'] else 'failed'}")
    lines += ["Next:", f"  {report['next']}"]
    return "\n".join(lines)


def _table(arms: list[dict[str, Any]], winner: str) -> list[str]:
    width = min(24, max(len(arm["name"]) for arm in arms) + 2)
    lines = [f"{'arm':<{width}} nDCG@10  95 % interval   MRR  recall  s/1,000 ms/query"]
    for arm in arms:
        score, cost = arm["measures"]["ndcg@10"], arm["cost"]
        name = ("* " if arm["name"] == winner else "  ") + arm["name"]
        if len(name) > width:
            lines.append(name)
            name = ""
        lines.append(
            f"{name:<{width}} {score['mean']:>7.3f}  [{score['low']:.3f}, {score['high']:.3f}] "
            f"{arm['measures']['mrr@10']['mean']:>5.3f}  {arm['measures']['recall@100']['mean']:>5.3f} "
            f"{cost['prepare_seconds_per_1000']:>8.3g} {cost['query_milliseconds']:>8.2g}"
        )
    return [*lines, "  MRR at 10, recall at 100, processor seconds per 1,000 documents; * is used"]


def _cut(line: str) -> str:
    return line if len(line) <= COLUMNS else f"{line[: COLUMNS - 4].rstrip()} ..."


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent=first, subsequent_indent=" " * len(first))
