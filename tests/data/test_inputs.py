"""Canonical form and content ids."""

import unicodedata

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.inputs import Input, content_digest, content_id, content_key, normalise
from vecsmith.errors import DataError


@given(st.text())
def test_a_text_and_its_decomposed_form_have_one_id(text):
    decomposed = unicodedata.normalize("NFD", text)
    assert content_id(text) == content_id(decomposed)
    assert normalise(decomposed) == unicodedata.normalize("NFC", text)


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def test_the_id_is_xxh3_of_the_utf8_bytes():
    assert content_id("naïve") == xxhash.xxh3_128("naïve".encode()).hexdigest()
    assert content_digest("naïve").hex() == content_id("naïve")


@given(st.text())
def test_the_key_is_the_first_half_of_the_id_with_a_sign(text):
    key = content_key(text)
    assert -(2**63) <= key < 2**63
    assert f"{key % 2**64:016x}" == content_id(text)[:16]


@pytest.mark.parametrize("text", ["Reset", "reset ", "reset\r\n", "reset\n"])
def test_case_spaces_and_line_ends_are_content(text):
    assert content_id(text) != content_id("reset")


def test_half_a_surrogate_pair_is_named():
    with pytest.raises(DataError, match=r"U\+D800 at character 2 is half of a surrogate pair"):
        content_id("ab\ud800")


def test_a_string_is_always_text_and_never_a_path(tmp_path):
    file = tmp_path / "photo.png"
    file.write_bytes(b"\x89PNG")
    assert Input.of(str(file)).text == str(file)
    assert Input.of(str(file)).image is None


def test_an_input_of_nothing_is_refused():
    with pytest.raises(DataError, match="neither"):
        Input()


def test_text_image_and_both_have_different_digests():
    digests = {Input("a").digest, Input(image=b"a!").digest, Input("a", b"a!").digest}
    assert len(digests) == 3
    assert Input("a").digest == content_digest("a")
