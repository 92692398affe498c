"""Keys in the environment are written nowhere, and texts that name files or hosts are judged as texts."""

import json
import socket

import pytest

from conftest import SECRET

KEYS = dict.fromkeys(("OPENAI_API_KEY", "HF_TOKEN", "VECSMITH_KEY", "HUGGING_FACE_HUB_TOKEN"), SECRET)
LOOKS = ["/etc/passwd", "file:///etc/passwd", "http://localhost:1/x.png", "data:image/png;base64,AAAA", "hub:alpha"]


def files_with_the_secret(folder):
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_training_and_encoding_write_no_key_of_the_environment(static_folder, tmp_path, run_vecsmith):
    rows = [{"query": f"alpha {n}", "positive": f"beta {n}"} for n in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = f"""
name: small
model: {{base: {static_folder}}}
data: [{{path: pairs.jsonl}}]
stages:
  - name: fit
    objective: {{retrieval: [{{info_nce: {{}}}}], pair: [{{info_nce: {{}}}}]}}
    train: {{per_device_train_batch_size: 8, max_steps: 3, save_strategy: steps, save_steps: 1}}
"""
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (tmp_path / "texts.txt").write_text("alpha\nbeta\n", encoding="utf-8")
    for command in (
        ["train", tmp_path / "recipe.yaml", "--output", tmp_path / "model"],
        ["encode", static_folder, tmp_path / "texts.txt", "--output", tmp_path / "vectors"],
    ):
        done = run_vecsmith(*command, env=KEYS)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
    assert (tmp_path / "model" / "recipe.lock.yaml").is_file()
    assert not files_with_the_secret(tmp_path)


def test_a_suite_of_texts_that_look_like_files_or_hosts_is_judged_as_texts(static_folder, tmp_path, monkeypatch):
    import vecsmith as vs

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something was fetched"))
    rows = [f"{left}\t{right}\t{(place % 5) / 4}" for left in LOOKS for place, right in enumerate(LOOKS)]
    (tmp_path / "pairs.tsv").write_text("\n".join(["left\tright\tscore", *rows]), encoding="utf-8")
    suite = """
name: looks
tasks:
  - {name: looks, kind: scored, path: pairs.tsv, columns: {left: left, right: right, score: score}, metric: spearman}
"""
    (tmp_path / "looks.yaml").write_text(suite, encoding="utf-8")
    report = vs.evaluate(vs.load(static_folder), str(tmp_path / "looks.yaml"), data_root=tmp_path)
    assert "looks" in str(report)
