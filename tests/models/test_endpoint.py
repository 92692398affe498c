"""A client of embedding servers: both dialects, and every way in which an answer can be wrong."""

import numpy as np
import pytest

from vecsmith.errors import DataError, LimitExceeded, UsageError
from vecsmith.models.endpoint import EndpointEncoder


def encode(texts):
    """A row that depends on the text alone: float [n, 4]."""
    return np.array([[len(text), sum(text.encode()) % 97, text.count(" "), 1.0] for text in texts], dtype=np.float32)


TEXTS = ["", "a stone bridge", "東京", "word " * 30]


@pytest.mark.parametrize("route", ["/v1/embeddings", "/embed", "", "/", "/v1"])
def test_both_dialects_and_base_addresses_give_the_vectors_in_order(serving, route):
    with serving(encode) as server:
        client = EndpointEncoder(server.url + route, batch_size=3)
        assert np.array_equal(client.encode(TEXTS), encode(TEXTS))
        assert np.array_equal(client.encode_query(TEXTS[1:2]), encode(TEXTS[1:2]))
        assert (client.dimension, client.dialect) == (4, "tei" if route == "/embed" else "openai")
        assert max(len(body.get("input") or body["inputs"]) for _, body, _ in server.seen if body) <= 3


def test_a_base_address_of_a_tei_server_is_recognised(serving):
    with serving(encode, fault="only tei") as server:
        client = EndpointEncoder(server.url)
        assert np.array_equal(client.encode(TEXTS), encode(TEXTS))
        assert client.dialect == "tei"


@pytest.mark.parametrize("fault", ["", "shuffled"])
def test_base64_and_answers_in_another_order_are_read(serving, fault):
    with serving(encode, fault=fault) as server:
        client = EndpointEncoder(server.url + "/v1/embeddings", encoding="base64")
        assert np.array_equal(client.encode(TEXTS), encode(TEXTS))
        assert [body["model"] for _, body, _ in server.seen if body] == ["tiny"]


def test_roles_are_sent_as_asked(serving):
    with serving(encode) as server:
        for prompts in ("none", "text", "name"):
            options = {"prompts": prompts, "prompt_texts": {"query": "query: "}, "model": "x"}
            EndpointEncoder(server.url + "/v1/embeddings", **options).encode_query(["a"])
            EndpointEncoder(server.url + "/embed", **options).encode_query(["a"])
    bodies = [{k: v for k, v in body.items() if k not in ("model", "encoding_format")} for _, body, _ in server.seen]
    assert bodies == [
        {"input": ["a"]},
        {"inputs": ["a"], "truncate": True},
        {"input": ["query: a"]},
        {"inputs": ["query: a"], "truncate": True},
        {"input": ["a"], "prompt_name": "query", "input_type": "query"},
        {"inputs": ["a"], "truncate": True, "prompt_name": "query"},
    ]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", r"NaN or infinity in the vector of 'word word.*start it with bfloat16 or float32"),
        ("null", "neither a list of numbers nor base64"),
        ("drops one", "3 vectors for 4 texts; the server drops inputs"),
        ("ragged", "vectors of 4 and 5 components in one answer"),
        ("html", "the answer is no JSON: '<html>It works!</html>'"),
        ("redirect", "307: it sends us elsewhere, which is not followed"),
        ("refuses all", "cannot be empty|empty string"),
    ],
)
@pytest.mark.parametrize("route", ["/v1/embeddings", "/embed"])
def test_a_wrong_answer_is_said_in_words(serving, fault, words, route):
    with serving(encode, fault=fault) as server, pytest.raises(DataError, match=words) as caught:
        EndpointEncoder(server.url + route).encode(TEXTS)
    assert str(caught.value).startswith(server.url + route)


def test_a_server_that_is_not_there_says_so():
    with pytest.raises(DataError, match="connection refused; nothing listens there"):
        EndpointEncoder("http://127.0.0.1:9/embed").encode(["a"])
    with pytest.raises(DataError, match="no connection: "):
        EndpointEncoder("http://no-such-host.invalid/embed").encode(["a"])


def test_an_address_without_a_route_says_so(serving):
    with serving(encode) as server:
        with pytest.raises(DataError, match="404: nothing is there under this address: no such route"):
            EndpointEncoder(server.url + "/v2/embed/x", dialect="tei").encode(["a"])
        with pytest.raises(DataError, match="neither /v1/embeddings nor /embed is there; give the full address"):
            EndpointEncoder(server.url + "/sub").encode(["a"])


def test_a_busy_server_is_asked_again(serving):
    with serving(encode, fault="busy") as server:
        assert np.array_equal(EndpointEncoder(server.url + "/embed").encode(["a"]), encode(["a"]))
        assert len(server.seen) == 3
        server.busy = 10
        with pytest.raises(DataError, match="503: the server is busy: loading"):
            EndpointEncoder(server.url + "/embed").encode(["a"])


def test_a_slow_server_and_an_endless_answer_are_given_up(serving, monkeypatch):
    with serving(encode, fault="slow") as server, pytest.raises(LimitExceeded, match=r"no answer within 0\.2 s"):
        EndpointEncoder(server.url + "/embed", timeout_seconds=0.2).encode(["a"])
    monkeypatch.setattr("vecsmith.models.exchange.MOST_BYTES", 3 << 20)
    with (
        serving(encode, fault="endless") as server,
        pytest.raises(LimitExceeded, match="an answer of more than 3,145,728"),
    ):
        EndpointEncoder(server.url + "/embed").encode(["a"])


def test_refused_texts_are_found_one_by_one(serving):
    with serving(encode, fault="refuses empty") as server:
        for route in ("/embed", "/v1/embeddings"):
            vectors, refused = EndpointEncoder(server.url + route).encode_or_refuse(TEXTS)
            assert np.array_equal(vectors[1:], encode(TEXTS[1:]))
            assert list(refused) == [0]
            assert "empty" in refused[0]
    with serving(encode, fault="refuses all") as server, pytest.raises(DataError, match="every text is refused"):
        EndpointEncoder(server.url + "/embed").encode_or_refuse(TEXTS)


def test_a_key_is_known_by_the_name_of_its_variable_and_never_shown(serving, monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret-value")
    with serving(encode, key="s3cret-value") as server:
        client = EndpointEncoder(server.url + "/embed", token_env="MY_KEY", header_env={"X-Tenant": "MY_KEY"})
        assert np.array_equal(client.encode(["a"]), encode(["a"]))
        assert server.seen[-1][2]["X-Tenant"] == "s3cret-value"
        with pytest.raises(DataError, match=r"401: it asks for a key; name the environment variable.*--token-env NAME"):
            EndpointEncoder(server.url + "/embed").encode(["a"])
    with serving(encode, key="another") as server:
        with pytest.raises(DataError, match="401: it refuses the key in MY_KEY") as caught:
            EndpointEncoder(server.url + "/embed", token_env="MY_KEY").encode(["a"])
        assert "s3cret" not in str(caught.value)
    with pytest.raises(UsageError, match="variable NO_SUCH_KEY is not set"):
        EndpointEncoder("http://localhost/embed", token_env="NO_SUCH_KEY")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/embed", "is no address of a server"),
        ("file:///etc/passwd", "is no address of a server"),
        ("http://", "is no address of a server"),
        ("http://host:port/embed", "cannot be read"),
        ("http://me:s3cret@host/embed", "holds a user or password"),
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(url, words):
    with pytest.raises(UsageError, match=words) as caught:
        EndpointEncoder(url)
    assert "s3cret" not in str(caught.value)


def test_options_out_of_range_are_refused():
    for options in ({"dialect": "cohere"}, {"prompts": "all"}, {"batch_size": 0}, {"timeout_seconds": 0}):
        with pytest.raises(UsageError):
            EndpointEncoder("http://localhost/embed", **options)
