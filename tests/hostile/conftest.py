"""A hostile source and what forge makes of it; small broken things; the fuzzing modules on the path."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

SECRET = "sk-planted-7f3e9a"
MARK = "pwned-by-a-text"
SCRIPT = f"<script>document.title='{MARK}'</script>"
ATTACKS = [
    SCRIPT,
    f"</title>{SCRIPT}</style>{SCRIPT}-->{SCRIPT}]]>",
    f'"><img src=x onerror="document.title=\'{MARK}\'">',
    f"'><svg onload=document.title='{MARK}'>",
    f'<a href="javascript:document.title=\'{MARK}\'">x</a> <iframe srcdoc="{SCRIPT}"></iframe>',
    "{{ 7*191 }} {% raw %} {{ ''.__class__.__mro__ }} ${7*191} <%= 7*191 %>",
    "\x1b[2J\x1b]0;title\x07\x9b31m\x1b]8;;http://evil\x1b\\red\x7f\x08",
    "&lt;script&gt; &#60;b&#62; &amp;amp;",
]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The cache of verified hashes, away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def hostile_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csv whose name, column names, questions, answers and attributes attack whoever shows them."""
    folder = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=alert(1)>{{ 7*191 }}"
    folder.mkdir()
    path = folder / f"faq'\"><svg onload=document.title='{MARK}'>\x1b[31m.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "<b>kind</b>{{ 7*191 }}"])
        for number in range(60):
            attack = ATTACKS[number % len(ATTACKS)]
            words = f"thing {number} number {number * 7}"
            writer.writerow([f"{attack} what is {words}?", f"{words} {attack} is of the list", f"{attack}{number % 3}"])
    return path


@pytest.fixture(scope="session")
def forged(hostile_table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """What `vecsmith forge` left of the hostile table, and what it printed; secrets stand in its environment."""
    output = tmp_path_factory.mktemp("forged") / "out <script>"
    command = ["forge", str(hostile_table), "--output", str(output), "--minutes", "0.1", "--seed", "1"]
    command += ["--query", "question", "--document", "answer", "--attributes", "<b>kind</b>{{ 7*191 }}"]
    done = vecsmith(*command, env={"OPENAI_API_KEY": SECRET, "HF_TOKEN": SECRET, "VECSMITH_KEY": SECRET})
    assert done.returncode == 0, done.stderr
    return output, done


def vecsmith(*arguments: str, env: dict[str, str] | None = None, **options: object) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "vecsmith", *map(str, arguments)]
    given = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=240, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def run_vecsmith() -> Callable[..., subprocess.CompletedProcess]:
    """`vecsmith` of this module, for tests."""
    return vecsmith


@pytest.fixture(scope="session")
def static_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static model of 40 words with a contract; read only."""
    from targets import make_static

    folder = tmp_path_factory.mktemp("static") / "model"
    make_static(folder)
    return folder


@pytest.fixture(scope="session")
def transformer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with a contract; read only."""
    from targets import make_transformer

    folder = tmp_path_factory.mktemp("transformer") / "model"
    make_transformer(folder)
    return folder
