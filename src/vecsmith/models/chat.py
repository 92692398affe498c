"""Text from a language model behind OpenAI's `/v1/chat/completions`, as many servers speak it.

Bounded in size and time, no redirects, a key known by the name of its environment variable (`exchange.py`). What goes
wrong is told apart by who can mend it: an answer that is unusable (`BadAnswer`, asked again or counted), a server that
does not answer now (`Unavailable`), and everything that will not get better by going on (DataError, UsageError).
"""

import urllib.parse
from typing import Any

from vecsmith.data.pairs.answers import BadAnswer, Unavailable
from vecsmith.data.pairs.prompts import Message
from vecsmith.errors import DataError, LimitExceeded, UsageError
from vecsmith.models.exchange import Absent, Broken, Busy, Exchange, Refused, checked_address, secret_headers, short

__all__ = ["ChatEndpoint"]

RETRIES = 4  # of an answer 429 or 5xx, or none within the time
LONGEST_WAIT = 60.0  # seconds that "Retry-After" may ask for


class ChatEndpoint:
    """`ask(messages) -> text`.

    Attributes: `name`, the address without query; `model`; `identity`, all that answers hang on beside the messages.
    Called by several threads at once, as `data.pairs.asking.Asking` does.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        key_env: str | None = None,
        temperature: float = 0.7,
        most_tokens: int = 2048,
        timeout_seconds: float = 120.0,
        seed: int | None = None,
    ) -> None:
        """A client; nothing is sent before the first message.

        url              http or https: an address ending in /chat/completions, or a base (http://host:8000/v1)
        model            the `model` of the request
        key_env          name of the environment variable with the key, sent as "Authorization: Bearer ..."
        temperature      0 to 2; above 0, so that a bad answer is not given again word for word
        most_tokens      `max_tokens` of an answer, 1 to 32,768
        timeout_seconds  of one request, answer included
        seed             sent where it is given; few servers heed it
        raises           UsageError: another scheme, a password in the address, an option out of range, no such variable
        """
        self.url, _ = checked_address(url)
        path = urllib.parse.urlsplit(self.url).path.rstrip("/")
        if not path.endswith("/chat/completions"):
            tail = "chat/completions" if path.endswith("/v1") else "v1/chat/completions"
            self.url = urllib.parse.urlunsplit(urllib.parse.urlsplit(self.url)._replace(path=f"{path}/{tail}"))
        _, self.name = checked_address(self.url)
        if not model:
            raise UsageError("the endpoint needs the name of a model: --model NAME")
        if not (0 <= temperature <= 2 and 1 <= most_tokens <= 32_768 and timeout_seconds > 0):
            raise UsageError(
                f"temperature {temperature} must be 0 to 2, most_tokens {most_tokens} 1 to 32,768, timeout_seconds "
                f"{timeout_seconds} above 0"
            )
        self.model = model
        self._body: dict[str, Any] = {"model": model, "temperature": temperature, "max_tokens": most_tokens}
        self._body |= {} if seed is None else {"seed": seed}
        self.identity = f"{model} temperature={temperature:g} max_tokens={most_tokens}"
        self.identity += "" if seed is None else f" seed={seed}"
        headers = dict(secret_headers(key_env, {}))
        self._exchange = Exchange(
            self.name,
            headers,
            key_env,
            timeout_seconds,
            retries=RETRIES,
            longest_wait_seconds=LONGEST_WAIT,
            key_option="--key-env",
            advice="lower the concurrency",
        )

    def __call__(self, messages: list[Message]) -> str:
        """The text that the model answers.

        raises    BadAnswer: the server refuses these messages (400, 413, 422), the answer is cut at `most_tokens`,
                  empty, or withheld; Unavailable: busy, broken or silent after a few attempts; DataError: a key that
                  is missing or wrong, no such address, nothing listens, or an answer of another form
        """
        try:
            answer = self._exchange.post(self.url, {**self._body, "messages": messages, "stream": False})
        except Refused as error:
            raise BadAnswer("refused by the endpoint", _said(error, self.name)) from error
        except Absent:
            raise
        except (Busy, Broken, LimitExceeded) as error:
            raise Unavailable(str(error)) from error
        return self._text(answer)

    def _text(self, answer: Any) -> str:
        try:
            choice = answer["choices"][0]
            content, ended = choice["message"].get("content"), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise DataError(
                f"no choices with a message in the answer: {short(answer)!r}; is this a chat endpoint?", file=self.name
            ) from None
        if isinstance(content, list):  # parts, as some servers send
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if ended == "length":
            raise BadAnswer("cut at the limit of tokens", f"max_tokens {self._body['max_tokens']}")
        if ended == "content_filter":
            raise BadAnswer("withheld by the endpoint")
        if not isinstance(content, str) or not content.strip():
            raise BadAnswer("empty")
        return content


def _said(error: DataError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")
