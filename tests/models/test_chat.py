"""The chat client against a recorded endpoint: what it sends, and every way in which an answer can be wrong."""

import importlib.util
from pathlib import Path

import pytest

from vecsmith.data.pairs.answers import BadAnswer, Unavailable
from vecsmith.errors import DataError, UsageError
from vecsmith.models.chat import ChatEndpoint

spec = importlib.util.spec_from_file_location("chat_server", Path(__file__).parents[1] / "chat_server.py")
chat_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chat_server)
chatting = chat_server.chatting

HELLO = [{"role": "user", "content": "hello"}]


def echo(messages):
    return f"you said {messages[-1]['content']}"


@pytest.mark.parametrize("tail", ["", "/chat/completions"])
def test_messages_go_out_and_text_comes_back(tail):
    with chatting(echo) as server:
        ask = ChatEndpoint(server.url + tail, model="tiny", temperature=0.2, most_tokens=64)
        assert ask(HELLO) == "you said hello"
        body, _ = server.seen[0]
        assert body == {"model": "tiny", "temperature": 0.2, "max_tokens": 64, "messages": HELLO, "stream": False}


@pytest.mark.parametrize("fault", ["429", "503"])
def test_a_busy_endpoint_is_asked_again_and_then_given_up_for_now(fault):
    with chatting(echo, fault) as server:
        assert ChatEndpoint(server.url, model="tiny")(HELLO) == "you said hello"
        assert len(server.seen) == 3
        server.busy = 99
        with pytest.raises(Unavailable, match=f"{fault}: the server is busy: not now; try again, or lower the concurr"):
            ChatEndpoint(server.url, model="tiny")(HELLO)


def test_a_failing_or_silent_endpoint_does_not_answer_now():
    with chatting(echo, "500") as server, pytest.raises(Unavailable, match="500: the server failed: not now"):
        ChatEndpoint(server.url, model="tiny")(HELLO)
    with chatting(echo, "slow") as server, pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
        ChatEndpoint(server.url, model="tiny", timeout_seconds=0.2)(HELLO)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("refuses", "refused by the endpoint"), ("over-long", "cut at the limit of tokens"), ("empty", "empty")],
)
def test_an_answer_that_cannot_be_used_has_its_reason(fault, reason):
    with chatting(echo, fault) as server, pytest.raises(BadAnswer) as caught:
        ChatEndpoint(server.url, model="tiny")(HELLO)
    assert caught.value.reason == reason


def test_what_no_waiting_mends_is_an_error():
    with chatting(echo, "other form") as server, pytest.raises(DataError, match="no choices with a message"):
        ChatEndpoint(server.url, model="tiny")(HELLO)
    with pytest.raises(DataError, match="connection refused; nothing listens there") as caught:
        ChatEndpoint("http://127.0.0.1:9/v1", model="tiny")(HELLO)
    assert not isinstance(caught.value, Unavailable)
    for options in ({"model": ""}, {"model": "x", "temperature": 3}, {"model": "x", "most_tokens": 0}):
        with pytest.raises(UsageError):
            ChatEndpoint("http://localhost/v1", **options)


def test_a_key_is_known_by_the_name_of_its_variable_and_never_shown(monkeypatch):
    monkeypatch.setenv("CHAT_KEY", "s3cret-value")
    with chatting(echo, key="s3cret-value") as server:
        ask = ChatEndpoint(server.url, model="tiny", key_env="CHAT_KEY")
        assert ask(HELLO) == "you said hello"
        assert "s3cret" not in ask.identity + ask.name
        with pytest.raises(DataError, match=r"401: it asks for a key.*--key-env NAME"):
            ChatEndpoint(server.url, model="tiny")(HELLO)
    with chatting(echo, key="another") as server:
        with pytest.raises(DataError, match="401: it refuses the key in CHAT_KEY") as caught:
            ChatEndpoint(server.url, model="tiny", key_env="CHAT_KEY")(HELLO)
        assert "s3cret" not in str(caught.value)
