"""What `vecsmith doctor` finds in an environment, a model and an index, and the way out it names."""

import json
import shlex
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from vecsmith.cli import doctor_environment
from vecsmith.cli.doctor_environment import environment_findings, extra_findings, package_findings, room_findings
from vecsmith.cli.doctor_folders import index_findings, model_findings
from vecsmith.cli.finding import note, problem
from vecsmith.cli.main import run
from vecsmith.models.names import resolve_name


def states(findings):
    return {finding.subject: finding.state for finding in findings}


def only(findings, state="problem"):
    (found,) = [finding for finding in findings if finding.state == state]
    return found


# environment


def test_a_sound_environment_has_no_problem(capsys):
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    subjects = [finding["subject"] for finding in found["findings"]]
    assert {"python", "torch", "numpy", "sentence-transformers", "disk", "memory", "network"} <= set(subjects)
    assert "extra search" in subjects
    assert "default model: probes" in subjects


def test_a_package_outside_the_tested_range_is_named_with_the_pip_line():
    found = only(package_findings(["numpy<1,>=0.5", "pyarrow>=1"]))
    assert found.words == f"{metadata.version('numpy')}, tested >=0.5,<1"
    assert found.mend == 'pip install "numpy>=0.5,<1"'


def test_a_missing_package_is_named_with_the_pip_line():
    found = only(
        package_findings(["no-such-package>=2", 'of-an-extra>=1; extra == "x"', 'pywin32; sys_platform == "win32"'])
    )
    assert (found.subject, found.words, found.mend) == (
        "no-such-package",
        "not installed",
        'pip install "no-such-package>=2"',
    )


def test_a_missing_extra_is_a_note_with_the_pip_line_and_a_stale_one_a_problem():
    requirements = [
        'no-such-package; extra == "one"',
        'vecsmith[one]; extra == "both"',
        'numpy>=2; extra == "both"',
        'numpy<1; extra == "stale"',
        'numpy>=1; extra == "there"',
    ]
    found = {finding.subject: finding for finding in extra_findings(requirements)}
    assert (found["extra one"].state, found["extra one"].mend) == ("note", 'pip install "vecsmith[one]"')
    assert (found["extra both"].state, found["extra both"].words) == ("note", "missing: no-such-package")
    assert (found["extra stale"].state, found["extra there"].state) == ("problem", "ok")


def test_little_room_is_a_problem(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=5_000_000))
    found = list(room_findings(tmp_path, 2_000_000))
    assert [finding.state for finding in found] == ["problem", "problem"]
    assert str(tmp_path) in found[0].words
    assert states(room_findings(tmp_path, None))["memory"] == "note"


def test_a_package_that_does_not_import_is_a_problem_and_the_model_is_not_tried(monkeypatch):
    def broken(name):
        raise OSError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr(doctor_environment.importlib, "import_module", broken)
    found = {finding.subject: finding for finding in environment_findings()}
    assert found["torch"].mend == "pip install --force-reinstall torch"
    assert "libtorch.so" in found["torch"].words
    assert found["default model"].state == "note"


def test_offline_is_said(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor_environment._network().state == "note"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert doctor_environment._network().state == "ok"


# model


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copytree(resolve_name("default"), tmp_path / "model"))


def test_the_default_model_passes_every_check(model):
    assert states(model_findings(model)) == dict.fromkeys(["modules", "contract", "files", "probes"], "ok")


def flip(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_tampered_weights_are_named(model):
    flip(model / "model.safetensors")
    found = only(model_findings(model))
    assert found.subject == "files"
    assert "model.safetensors has sha256" in found.words
    assert "copy the folder again" in found.mend


def test_a_cut_or_missing_file_is_named(model):
    (model / "model.safetensors").write_bytes(b"")
    assert "has 0 bytes, not" in only(model_findings(model)).words
    (model / "model.safetensors").unlink()
    assert "model.safetensors is missing" in only(model_findings(model)).words


def test_a_model_without_contract_is_told_how_to_get_one(model):
    (model / "embedding.json").unlink()
    found = only(model_findings(model))
    assert found.subject == "contract"
    assert "vs.load" in found.mend


def test_a_package_model_without_contract_is_noted_and_still_run(model):
    (model / "embedding.json").unlink()
    found = list(model_findings(model, "some-name"))
    assert states(found) == {"modules": "ok", "contract": "note", "loads": "ok"}
    assert "vs.load('some-name').save('some-name-with-contract')" in shlex.split(only(found, "note").mend)[2]


def test_an_edited_contract_is_found(model):
    contract = json.loads((model / "embedding.json").read_text())
    contract["space"]["max_length"] = 7
    (model / "embedding.json").write_text(json.dumps(contract))
    assert "the file was edited" in only(model_findings(model)).words


def test_modules_from_elsewhere_and_pickles_are_refused_before_anything_runs(model):
    modules = json.loads((model / "modules.json").read_text())
    evil = [{**modules[0], "type": "os.system"}, *modules[1:]]
    (model / "modules.json").write_text(json.dumps(evil))
    found = only(model_findings(model))
    assert found.subject == "modules"
    assert "os.system" in found.words
    (model / "modules.json").write_text(json.dumps(modules))
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert "pickle" in only(model_findings(model)).words


def test_probes_that_give_other_vectors_are_found(model, monkeypatch):
    from vecsmith.models.static import StaticEncoder

    encode = StaticEncoder.encode_query
    monkeypatch.setattr(StaticEncoder, "encode_query", lambda self, texts, *rest: encode(self, texts, *rest) * 1.01)
    found = only(model_findings(model))
    assert found.subject == "probes"
    assert "gives other vectors than its contract" in found.words


# index


@pytest.fixture
def index(tmp_path):
    from vecsmith.index.index import Index

    path = tmp_path / "index"
    with Index.create(path, schema={"year": int}, durability="none") as made:
        made.add([{"id": f"d{n}", "text": f"text number {n}", "attributes": {"year": n}} for n in range(12)])
    return path


def test_a_sound_index_passes(index):
    found = list(index_findings(index))
    assert set(states(found).values()) == {"ok"}
    assert "12 documents, fields year int" in found[0].words


def test_a_changed_file_of_an_index_is_named(index):
    file = next(index.glob("segments/*/attributes.bin"))
    flip(file)
    found = only(index_findings(index))
    assert str(file) in found.words
    assert "backup" in found.mend


def test_a_broken_catalog_is_named(index):
    (index / "catalog.sqlite").write_bytes(b"nothing")
    assert only(index_findings(index)).subject == "catalog"


def test_an_index_whose_model_is_another_now_is_found(tmp_path, model):
    from vecsmith.index.index import Index

    path = tmp_path / "index"
    with Index.create(path, model=model, durability="none") as made:
        made.add([{"id": "a", "text": "one text"}])
    assert states(index_findings(path))["model"] == "ok"
    shutil.rmtree(path / "model")
    assert only(index_findings(path)).subject == "model"


# the verb


def test_problems_end_in_exit_code_4_with_the_way_out(model, capsys):
    flip(model / "model.safetensors")
    assert run(["doctor", str(model)]) == 4
    text = capsys.readouterr().out
    assert "BAD   files" in text
    assert "-> copy the folder again" in text
    assert "1 problem, no notes" in text


def test_a_forge_output_is_checked_as_model_and_index(tmp_path, model, index, capsys):
    assert run(["doctor", str(tmp_path), "--json"]) == 0
    subjects = [finding["subject"] for finding in json.loads(capsys.readouterr().out)["findings"]]
    assert "model: probes" in subjects
    assert "index: files" in subjects


def test_what_is_neither_model_nor_index_is_a_usage_error(tmp_path, capsys):
    assert run(["doctor", str(tmp_path / "absent")]) == 2
    assert "is no folder" in capsys.readouterr().err
    (tmp_path / "readme.txt").write_text("x")
    assert run(["doctor", str(tmp_path)]) == 2
    assert "it holds: readme.txt" in capsys.readouterr().err


def test_lines_stay_within_80_columns_but_commands_are_never_cut():
    from vecsmith.cli.doctor import _lines

    command = "pip install " + "x" * 100
    lines = list(_lines([problem("torch", "word " * 60, command), note("n", "short")]))
    text = "\n".join(lines).splitlines()
    assert all(len(line) <= 80 or command in line for line in text)
    assert any(line.endswith(command) for line in text)
