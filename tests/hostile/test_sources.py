"""Sources that lead elsewhere, never end or grow without bound."""

import bz2
import gzip
import lzma
import os
import resource
import socket
import subprocess
import sys
import tarfile
import zipfile

import pytest

import vecsmith as vs
from vecsmith.data.readers import unpacking
from vecsmith.data.source import open_source
from vecsmith.errors import DataError, LimitExceeded, VecsmithError


def words(text):
    return len(text.split())


def zstd(data):
    import pyarrow as pa

    return pa.Codec("zstd").compress(data, asbytes=True)


PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstd}


def test_links_pipes_sockets_and_devices_in_a_source_are_counted_and_never_opened(tmp_path):
    docs, outside = tmp_path / "docs", tmp_path / "outside"
    docs.mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text("the secret")
    (docs / "real.txt").write_text("the only text there is")
    (docs / "hard.txt").hardlink_to(docs / "real.txt")
    links = {"file.txt": outside / "secret.txt", "folder": outside, "up": "..", "self": ".", "gone.txt": "nowhere", "a": "b", "b": "a",
             "null.txt": "/dev/zero", "fd.txt": "/dev/stdin"}  # fmt: skip
    for name, target in links.items():
        (docs / name).symlink_to(target)
    os.mkfifo(docs / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(docs / "socket.txt"))
        source = open_source(docs, count_tokens=words)
        texts = [unit.served for unit in source.units()]
    assert set(texts) == {"the only text there is"}
    skipped = source.describe()["skipped"]
    assert skipped["link, not followed"]["count"] == len(links)
    assert skipped["no plain file"]["count"] == 2
    assert "passed over, link, not followed: 9" in "; ".join(source.describe()["notes"])


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.txt", "pipe.jsonl", "zero.csv", "zero.txt", "null.csv"])
def test_a_source_that_is_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path) if name.startswith("pipe") else path.symlink_to(f"/dev/{name.split('.')[0]}")
    command = [sys.executable, "-m", "vecsmith", "forge", str(path), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    assert name in done.stderr
    with pytest.raises(VecsmithError):
        vs.read(path)


@pytest.mark.parametrize("ending", PACK)
def test_a_file_that_unpacks_without_measure_is_stopped_at_the_bound(tmp_path, ending, monkeypatch):
    rows = b"text\n" + b"".join(b"row %d holds %d\n" % (n, n * n * 7919 % 10007) for n in range(20_000))
    (tmp_path / f"t.csv{ending}").write_bytes(PACK[ending](rows))
    assert len(vs.read(tmp_path / f"t.csv{ending}").documents) == 20_000
    monkeypatch.setattr(unpacking, "UNPACKED_LIMIT", 300_000)
    with pytest.raises(LimitExceeded, match=r"unpacks to more than 300,000 bytes"):
        vs.read(tmp_path / f"t.csv{ending}")


@pytest.mark.parametrize("ending", PACK)
def test_a_bomb_is_stopped_by_its_ratio_in_flat_memory(tmp_path, ending):
    line = b"b" * 1023 + b"\n"
    pack = PACK[ending] if ending != ".xz" else lambda data: lzma.compress(data, preset=0)
    bomb = pack(b"text\n" + line * 120_000) if ending != ".gz" else gzip.compress(gzip.compress(line * 10_000))
    if ending == ".gz":  # nested: what comes out is packed again, which is no table, and is never unpacked twice
        (tmp_path / "t.csv.gz").write_bytes(bomb)
        with pytest.raises(DataError):
            vs.read(tmp_path / "t.csv.gz")
        bomb = gzip.compress(b"\0" * 120_000_000)
    (tmp_path / f"t.jsonl{ending}").write_bytes(bomb)
    code = (
        "import resource, sys, vecsmith as vs\nfrom vecsmith.errors import VecsmithError\n"
        "import pyarrow, vecsmith.data.read\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try: vs.read({str(tmp_path / f't.jsonl{ending}')!r})\nexcept VecsmithError as error: print(error)\n"
        "print('grown', (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout.rpartition("grown ")[2]) < 90, done.stdout
    assert f"t.jsonl{ending}" in done.stdout


def test_archives_are_not_unpacked_and_write_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../escaped.csv", "text\nx\n")
        archive.writestr("/tmp/escaped-absolute.csv", "text\nx\n")
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("../escaped.csv")
        member.size = 0
        archive.addfile(member)
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (tmp_path / "evil.csv").write_bytes((tmp_path / "evil.zip").read_bytes())
    (tmp_path / "evil.tar").write_bytes(gzip.decompress((tmp_path / "evil.tar.gz").read_bytes()))
    before = sorted(path.name for path in tmp_path.parent.iterdir()), sorted(path.name for path in tmp_path.iterdir())
    for name in ("evil.zip", "evil.tar.gz", "evil.tar", "evil.csv"):
        with pytest.raises(VecsmithError, match=name):
            vs.read(tmp_path / name)
        with pytest.raises(VecsmithError, match=name):
            open_source(tmp_path / name, count_tokens=words)
    after = sorted(path.name for path in tmp_path.parent.iterdir()), sorted(path.name for path in tmp_path.iterdir())
    assert after == before
    assert not os.path.exists("/tmp/escaped-absolute.csv")


BOMBS = {
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)),
    "itself": "name: &a [*a]\nstages: *a\n",
    "deep": "a: " + "[" * 2000,
    "tag": "!!python/object/apply:os.system [echo]\n",
    "long key": "? " + "a" * 2000 + "\n: 1\n",
    "merge": "a: &a {b: 1}\nname: {<<: [*a, *a]}\nstages: 1\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.timeout(20)
def test_yaml_that_grows_or_runs_is_refused_at_once(tmp_path, name):
    from vecsmith.errors import RecipeError
    from vecsmith.evaluation.tasks import load_suite
    from vecsmith.training.recipe import load_recipe

    (tmp_path / "r.yaml").write_text(BOMBS[name])
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for door in (load_recipe, load_suite):
        with pytest.raises(RecipeError, match=r"r\.yaml"):
            door(tmp_path / "r.yaml")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun < 3
