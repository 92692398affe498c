"""The documentation is true: generated pages are current, and the code on the others runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
GENERATED = {"cli.md", "api.md", "log.md", "default_model.md"}
PAGES = sorted(page for page in DOCS.glob("*.md") if page.name not in GENERATED)
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_generated_pages_are_current():
    out = subprocess.run([sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path):
    script = tmp_path / "page.py"
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks, f"{page.name} shows nothing that runs"
    script.write_text("\n".join(_as_python(language, body) for language, body in blocks), encoding="utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "80"}
    out = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, f"{page.name}:\n{out.stdout}\n{out.stderr}"


def _as_python(language: str, body: str) -> str:
    """A console block becomes calls of its `$ ` lines; what follows them is output, shown but not compared.

    `$ vecsmith ...` runs in the page's own process, so that torch is loaded once a page.
    """
    if language == "python":
        return body
    commands = [line[2:] for line in body.splitlines() if line.startswith("$ ")]
    assert commands, f"a console block without a `$ ` line:\n{body}"
    return "\n".join(_call(command) for command in commands)


def _call(command: str) -> str:
    verb, *arguments = shlex.split(command)
    if verb != "vecsmith":
        return f"import subprocess\nsubprocess.run({command!r}, shell=True, check=True)"
    called = f"__import__('vecsmith.cli.main', fromlist=['run']).run({arguments!r})"
    return f"assert {called} == 0, {command!r}"
