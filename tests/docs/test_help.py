"""Every help text opens with two examples, and the lines fit 80 columns."""

import importlib.util
from pathlib import Path

import pytest

GENERATE = Path(__file__).resolve().parents[2] / "docs" / "generate.py"
_spec = importlib.util.spec_from_file_location("generate", GENERATE)
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)

COMMANDS = [command for command in generate.commands() if command]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_text_opens_with_two_examples(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    text = generate.help_of(*command)
    opening = text.split("\nOptions")[0].split("\nArguments")[0].splitlines()
    examples = [line for line in opening if line.strip().startswith(f"vecsmith {' '.join(command)}")]
    assert len(examples) >= 2, text
    assert max(map(len, text.splitlines())) <= 80, text
