"""Packed files: every way of packing gives the same bytes, and no file takes more than its bounds."""

import bz2
import gzip
import lzma
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.readers import unpacking
from vecsmith.data.readers.table_lines import open_bytes, read_lines
from vecsmith.errors import DataError, LimitExceeded

PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.fixture
def pack(tmp_path):
    """Bytes packed by the ending of a name, as a file."""

    def write(name: str, data: bytes, *more: bytes):
        path = tmp_path / name
        if path.suffix == ".zst":
            with open(path, "wb") as file:
                for part in (data, *more):
                    with pa.OSFile(str(tmp_path / "part"), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as out:
                        out.write(part)
                    file.write((tmp_path / "part").read_bytes())
        else:
            path.write_bytes(b"".join(PACK[path.suffix](part) for part in (data, *more)))
        return path

    return write


def read(path):
    with open_bytes(path) as (file, _):
        return file.read()


ENDINGS = pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2", ".zst"])


@ENDINGS
def test_a_packed_file_gives_its_bytes(pack, ending):
    data = bytes(range(256)) * 3000
    assert read(pack(f"a{ending}", data)) == data


@ENDINGS
def test_an_empty_packed_file_gives_no_bytes(pack, ending):
    assert read(pack(f"a{ending}", b"")) == b""


@ENDINGS
def test_members_one_after_another_are_one_stream(pack, ending):
    assert (
        read(pack(f"a{ending}", b"one\n", b"two\n" * 100_000, b"", b"three"))
        == b"one\n" + b"two\n" * 100_000 + b"three"
    )


@ENDINGS
def test_a_file_that_is_cut_off_is_an_error(pack, ending):
    path = pack(f"a{ending}", b"".join(f"{number * 7919 % 1000} row\n".encode() for number in range(20_000)))
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"damaged .* file .*Fetch or pack it again"):
            read(path)


@ENDINGS
def test_what_follows_the_end_is_an_error(pack, ending):
    path = pack(f"a{ending}", b"rows\n" * 100)
    path.write_bytes(path.read_bytes() + b"and something else")
    with pytest.raises(DataError, match="damaged"):
        read(path)


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2"])  # zstd has a checksum only where its writer gave it one
def test_a_changed_byte_is_an_error(pack, ending):
    path = pack(f"a{ending}", b"".join(f"{number * 7919 % 1000} row\n".encode() for number in range(20_000)))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0x55
    path.write_bytes(whole)
    with pytest.raises(DataError, match="damaged"):
        read(path)


@ENDINGS
def test_no_more_comes_out_than_the_limit(pack, ending, monkeypatch):
    monkeypatch.setattr(unpacking, "UNPACKED_LIMIT", 1 << 20)
    assert len(read(pack(f"a{ending}", b"x" * (1 << 20)))) == 1 << 20
    with pytest.raises(LimitExceeded, match="unpacks to more than 1,048,576 bytes"):
        read(pack(f"a{ending}", b"x" * ((1 << 20) + 1)))


@ENDINGS
def test_reading_stops_where_too_much_comes_out_of_too_little(pack, ending):
    path = pack(f"a.csv{ending}", b"\n" * (40 << 20))
    with pytest.raises(LimitExceeded, match=r"more than 1,000 to 1"):
        for _ in read_lines(path):
            pass


def test_small_files_may_pack_well(pack):
    assert len(read(pack("a.zst", b"x" * (1 << 20)))) == 1 << 20


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.gz", b"plain", "the name ends in .gz, but this is no gzip file"),
        ("a.zst", gzip.compress(b"plain", mtime=0), "the name ends in .zst, but this is a gzip file"),
    ],
)
def test_a_name_that_promises_another_packing_is_an_error(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read(tmp_path / name)


def test_a_file_packed_under_a_plain_name_is_unpacked(tmp_path):
    (tmp_path / "a.csv").write_bytes(lzma.compress(b"one\ntwo\n"))
    assert list(read_lines(tmp_path / "a.csv")) == ["one", "two"]


def test_a_dictionary_beyond_bounds_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 << 20}]
    (tmp_path / "a.xz").write_bytes(lzma.compress(b"x", filters=filters))
    with pytest.raises(LimitExceeded, match="asks for more than 192 MB of memory"):
        read(tmp_path / "a.xz")


@settings(max_examples=50)
@given(
    data=st.binary(max_size=300),
    ending=st.sampled_from([".gz", ".xz", ".bz2"]),
    junk=st.binary(max_size=20),
    cut=st.integers(0, 40),
)
def test_broken_packing_is_an_error_in_words_or_reads(tmp_path_factory, data, ending, junk, cut):
    path = tmp_path_factory.mktemp("packed") / f"a{ending}"
    packed = PACK[ending](data)
    path.write_bytes(packed[: len(packed) - cut] + junk)
    with suppress(DataError):
        read(path)
