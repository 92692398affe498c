import shlex

import numpy as np

from vecsmith.forging.reporting import _next
from vecsmith.forging.verdict import MEASURES, Arm, Cost, decide
from vecsmith.forging.words import answer


def report(query, where, name="a model of a very long name indeed"):
    arms = [
        Arm(arm, "dense", name, False, None, dict.fromkeys(MEASURES, np.full(40, value)), Cost(1234.5, 123.4, 1))
        for arm, value in ((name, 0.5), (f"{name}, fitted + BM25", 0.6))
    ]
    verdict = decide(arms, queries="40 queries made from your headings", real_queries=False)
    hit = {"score": 0.5, "id": "folder/" * 9 + "file#1", "snippet": "words " * 40}
    examples = [{"query": query, "where": where, "hits": [hit]}]
    return {
        "verdict": verdict.to_json(), "arms": verdict.summary, "examples": examples, "left_out": ["some thing " * 20],
        "warnings": ["be aware " * 20], "output": "out", "gate": None, "next": "vecsmith search",
    }  # fmt: skip


def test_the_answer_fits_a_terminal():
    lines = answer(report("a long question " * 12, "path = 'x'")).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  0.50  folder/") for line in lines), "hits stand under their question, indented"


def test_the_next_command_survives_the_shell():
    for query, where in (
        ('it\'s $HOME `date` "quoted" \\ !', "package = 'json' and kind in ('function')"),
        ("plain words", "`odd name` = 'it''s $5'"),
        ("no filter", None),
    ):
        words = shlex.split(_next("out", [{"query": query, "where": where}]))
        assert words[0].endswith("vecsmith")
        assert words[1:] == ["search", "out/index", query, *(["--where", where] if where else [])]
