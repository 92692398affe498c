import errno
import json
import random
import shutil
import subprocess
import sys
import time

import pytest

from vecsmith import atomic
from vecsmith.atomic import new_folder, open_atomic, recover_folder, write_json, write_text
from vecsmith.errors import DiskFull

WRITER = """
import sys
from vecsmith.atomic import open_atomic
path, letter = sys.argv[1:]
while True:
    with open_atomic(path) as file:
        for _ in range(50):
            file.write(letter.encode() * 20_000)
"""


def test_a_writer_killed_at_any_moment_leaves_old_or_new(tmp_path):
    target = tmp_path / "vectors.bin"
    target.write_bytes(b"o" * 1_000_000)
    for turn in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(target), "ab"[turn % 2]])
        time.sleep(0.15 + random.Random(turn).uniform(0, 0.2))
        writer.kill()
        writer.wait()
        content = target.read_bytes()
        assert len(content) == 1_000_000
        assert len(set(content)) == 1
    write_text(target, "clean")
    assert [entry.name for entry in tmp_path.iterdir()] == ["vectors.bin"], "what killed writers left is swept"


def test_a_failing_block_leaves_the_old_content_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="half way"), open_atomic(target, "w") as file:
        file.write("new")
        raise RuntimeError("half way")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_names_the_path_what_is_free_and_keeps_the_old_content(tmp_path, code):
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with (
        pytest.raises(DiskFull, match=r"file\.txt: .*bytes are free.*unchanged") as caught,
        open_atomic(target) as file,
    ):
        file.write(b"x")
        raise OSError(code, "injected")
    assert caught.value.exit_code == 6
    assert target.read_text() == "old"


def test_other_os_errors_keep_their_class(tmp_path):
    with pytest.raises(FileNotFoundError), open_atomic(tmp_path / "absent" / "file"):
        pass


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    write_json(tmp_path / "a.json", {"score": 0.5, "text": "é"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"score": 0.5, "text": "é"}


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        (folder / "part").write_text("x")
        assert not target.exists()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with new_folder(target) as folder:
        (folder / "part").write_text("x")
    assert (target / "part").read_text() == "x"
    with pytest.raises(FileExistsError), new_folder(target):
        pass
    with new_folder(target, replace=True) as folder:
        (folder / "other").write_text("y")
    assert [entry.name for entry in target.iterdir()] == ["other"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_killed_between_its_two_renames_comes_back(tmp_path):
    target = tmp_path / "model"
    old = tmp_path / "model.old-"
    old.mkdir()
    (old / "part").write_text("x")
    recover_folder(target)
    assert (target / "part").read_text() == "x"
    assert not old.exists()


@pytest.mark.parametrize(
    "error",
    [
        shutil.Error([("a", "b", "[Errno 27] File too large: 'b'")]),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file data/3"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_no_room_is_named_whichever_library_says_so(tmp_path, error):
    with pytest.raises(DiskFull, match=r"are free in .*Make room"), atomic.disk_errors(tmp_path / "x"):
        raise error
    with pytest.raises(ValueError, match="else"), atomic.disk_errors(tmp_path / "x"):
        raise ValueError("something else")
