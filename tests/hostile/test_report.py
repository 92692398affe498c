"""What a text says is shown, never run: in report.html, in a browser, in a terminal; and no secret is written."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from vecsmith.index.result import Result
from vecsmith.progress import Bars, JsonEvents
from vecsmith.terminal import printable

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Page(HTMLParser):
    """Elements and attributes of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_holds_no_element_attribute_or_template_of_a_text(forged):
    page = Page((forged[0] / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "img", "iframe", "a", "b", "object", "embed", "link", "base"} & set(page.elements)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not [value for _, value in page.attributes if "javascript:" in (value or "") and "<a href" not in value]
    assert {"href", "src", "srcdoc", "action", "xlink:href"}.isdisjoint(name for name, _ in page.attributes)
    shown = "".join(page.text)
    assert "<script>document.title=" in shown
    assert "{{ 7*191 }}" in shown
    assert str(7 * 191) not in shown


def test_a_browser_runs_no_script_of_the_report(forged, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here to open the page in")
    page = tmp_path / "report.html"
    shutil.copy(forged[0] / "report.html", page)
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    found = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    assert "What serves" in found.stdout, found.stderr[-500:]
    title = re.search(r"<title>(.*?)</title>", found.stdout, re.DOTALL)
    assert title is not None
    assert title[1].startswith("vecsmith: ")
    assert "<script" not in found.stdout
    # The same browser does run a script that is one: the check above can fail.
    (tmp_path / "live.html").write_text("<title>x</title><script>document.title='ran'</script>")
    live = subprocess.run([*command, "--dump-dom", (tmp_path / "live.html").as_uri()], capture_output=True, text=True, check=False)  # fmt: skip
    assert "<title>ran</title>" in live.stdout


def test_no_control_character_of_a_text_reaches_the_terminal(forged, run_vecsmith):
    output, forging = forged
    done = [forging, run_vecsmith("search", output / "index", "what is thing \x1b[31m 6?", "--k", "20")]
    done.append(run_vecsmith("search", output / "index", "thing", "--json", "--k", "60"))
    done.append(run_vecsmith("search", output / "index\x1b[31m", "thing"))
    done.append(run_vecsmith("index", "info", output / "index"))
    done.append(run_vecsmith("doctor", output))
    for each in done:
        assert "Traceback" not in each.stderr, each.stderr
        assert not CONTROL.search(each.stdout), each.args
        assert not CONTROL.search(each.stderr), each.args
    assert "faq'\"><svg onload" in forging.stderr
    assert "\\u001b" in forging.stderr
    hits = json.loads(done[2].stdout)["hits"]
    assert any("\x1b" in hit["text"] for hit in hits)


def test_what_is_printed_from_python_shows_control_characters(capsys):
    result = Result(["\x1b[1mid"], [0.5], ["a\x9bb\r"], [{}], "dense", "exact", 1, 1, True, 1.0, False, 1, {})
    assert not CONTROL.search(str(result))
    for progress in (Bars(), JsonEvents()):
        progress.say("\x1b[2J")
        with progress.task("reading \x1b[31m.csv") as task:
            task.note("\x07")
            task.advance(1)
    assert not CONTROL.search(capsys.readouterr().err)
    assert printable("é\t🙂\n\udcff\x1b") == "é\t🙂\n\\udcff\\u001b"


def test_no_file_that_forge_writes_holds_a_key_of_the_environment(forged):
    seen = 0
    for folder, _, names in os.walk(forged[0]):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert b"sk-planted-7f3e9a" not in file.read(), os.path.join(folder, name)
            seen += 1
    assert seen > 20
    assert "sk-planted" not in forged[1].stdout + forged[1].stderr


def test_an_argument_that_is_no_utf8_is_refused_in_words(tmp_path, run_vecsmith):
    done = run_vecsmith("forge", tmp_path / os.fsdecode(b"caf\xe9.csv"), "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "caf\\udce9.csv is no UTF-8" in done.stderr
    assert not (tmp_path / "out").exists()
