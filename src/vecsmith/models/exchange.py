"""JSON over HTTP with bounds: answers limited in size and time, no redirects, errors in words, secrets never shown."""

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

from vecsmith.errors import DataError, LimitExceeded, UsageError

__all__ = ["Absent", "Broken", "Busy", "Exchange", "Refused", "checked_address", "secret_headers", "short"]

MOST_BYTES = 64 << 20  # of one answer: 16 vectors of 4,096 numbers take about 1.5 MB of JSON
BLOCK = 1 << 16
RETRIES = 3  # of an answer 429 or 503
LONGEST_WAIT = 5.0  # seconds that "Retry-After" may ask for


class Refused(DataError):
    """The server will not take an input (400, 413, 422)."""


class Absent(DataError):
    """Nothing under this address (404, 405)."""


class Busy(DataError):
    """Try again later (429, 503)."""

    seconds: float | None = None


class Broken(DataError):
    """The server failed (500, 502, 504), or the connection broke off."""


class Exchange:
    """Sends JSON to one server and reads its JSON.

    name             the server in errors
    headers          go with every request; their values are secrets
    key_variable     the environment variable of the key, for the words of a 401
    timeout_seconds  of one request, answer included
    retries          of a busy server, and longest_wait_seconds: the most that its "Retry-After" is heeded
    key_option       the option of the command line that names the variable, and advice: what helps a busy server
    """

    def __init__(
        self,
        name: str,
        headers: Mapping[str, str],
        key_variable: str | None,
        timeout_seconds: float,
        *,
        retries: int = RETRIES,
        longest_wait_seconds: float = LONGEST_WAIT,
        key_option: str = "--token-env",
        advice: str = "lower batch_size",
    ) -> None:
        self.name, self._key_variable, self.timeout_seconds = name, key_variable, timeout_seconds
        self._retries, self._longest_wait = retries, longest_wait_seconds
        self._key_option, self._advice = key_option, advice
        self._headers = dict(headers)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def get(self, address: str) -> Any:
        """The JSON at an address; raises as `post`."""
        return self._send(urllib.request.Request(address, headers=self._headers))

    def post(self, address: str, body: Mapping[str, Any]) -> Any:
        """The JSON answered to a JSON body; a busy server is asked again.

        raises    Refused, Absent, DataError: what the server answers, or no connection; LimitExceeded: an answer over
                  64 MB, or none within the time
        """
        data = json.dumps(body).encode("utf-8")
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self._headers}
        for attempt in range(self._retries):
            try:
                return self._send(urllib.request.Request(address, data=data, headers=headers))
            except Busy as busy:
                time.sleep(min(self._longest_wait, busy.seconds if busy.seconds is not None else 0.25 * 2**attempt))
        return self._send(urllib.request.Request(address, data=data, headers=headers))

    def _send(self, request: urllib.request.Request) -> Any:
        deadline = time.monotonic() + self.timeout_seconds
        try:
            with self._opener.open(request, timeout=self.timeout_seconds) as answer:
                content = self._read(answer, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (OSError, http.client.HTTPException) as error:  # a reset connection, an answer cut short
            raise self._unreachable(error) from None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise DataError(
                f"the answer is no JSON: {short(content)!r}; is this the address of the right server?",
                file=self.name,
            ) from None

    def _read(self, answer: Any, deadline: float) -> bytes:
        content = bytearray()
        while block := answer.read1(BLOCK):
            content += block
            if len(content) > MOST_BYTES:
                raise LimitExceeded(f"{self.name}: an answer of more than {MOST_BYTES:,} bytes; {self._advice}")
            if time.monotonic() > deadline:
                raise LimitExceeded(f"{self.name}: no whole answer within {self.timeout_seconds:g} s")
        return bytes(content)

    def _refusal(self, error: urllib.error.HTTPError) -> DataError:
        said = self._without_secrets(_message(error.read(BLOCK)))
        code = error.code
        if code in (401, 403):
            asks = f"it asks for a key; name the environment variable that holds it: {self._key_option} NAME"
            refuses = f"it refuses the key in {self._key_variable}"
            return DataError(f"{code}: {refuses if self._key_variable else asks}", file=self.name)
        if code in (404, 405):
            return Absent(f"{code}: nothing is there under this address{said}", file=self.name)
        if code in (400, 413, 422):
            return Refused(f"{code}{said}", file=self.name)
        if code in (429, 503):
            wait = error.headers.get("Retry-After") or ""
            busy = Busy(f"{code}: the server is busy{said}; try again, or {self._advice}", file=self.name)
            busy.seconds = float(wait) if wait.isdigit() else None
            return busy
        if 300 <= code < 400:
            return DataError(f"{code}: it sends us elsewhere, which is not followed; give that address", file=self.name)
        if code in (500, 502, 504):
            return Broken(f"{code}: the server failed{said}", file=self.name)
        return DataError(f"{code}{said}", file=self.name)

    def _unreachable(self, reason: object) -> DataError | LimitExceeded:
        if isinstance(reason, TimeoutError):
            return LimitExceeded(f"{self.name}: no answer within {self.timeout_seconds:g} s")
        if isinstance(reason, ConnectionRefusedError):
            words = "connection refused; nothing listens there. Start the server, or check the port"
            return DataError(words, file=self.name)
        if isinstance(reason, ConnectionError | http.client.HTTPException):
            return Broken(f"no connection: {self._without_secrets(str(reason))}", file=self.name)
        return DataError(f"no connection: {self._without_secrets(str(reason))}", file=self.name)

    def _without_secrets(self, words: str) -> str:
        """A server may repeat what it was sent."""
        for value in self._headers.values():
            for part in (value, value.removeprefix("Bearer ")):
                words = words.replace(part, "***") if part else words
        return words


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key must not travel to where a server points."""

    def redirect_request(self, *_: Any) -> None:
        return None


def checked_address(url: str) -> tuple[str, str]:
    """The address, and how it is called in words: without query, which may hold a secret.

    raises    UsageError: no http or https address, or one with a user or password
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise UsageError(f"the address cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise UsageError(f'"{url[:80]}" is no address of a server; it looks like http://HOST:PORT/v1/embeddings')
    if parts.username is not None or parts.password is not None:
        raise UsageError("the address holds a user or password; keep the key in an environment variable and name that")
    shown = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"
    return urllib.parse.urlunsplit(parts._replace(fragment="")), shown


def secret_headers(token_env: str | None, header_env: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Headers from environment variables: `token_env` as "Authorization: Bearer ...", others as they are.

    raises    UsageError: a variable that is not set, or whose value cannot stand in a header
    """
    wanted = {**({"Authorization": token_env} if token_env else {}), **header_env}
    for header, variable in wanted.items():
        value = (os.environ.get(variable) or "").strip()
        if not value:
            raise UsageError(f"the environment variable {variable} is not set; it is to hold the value of {header}")
        if not value.isprintable() or not value.isascii():
            raise UsageError(f"the value in {variable} cannot stand in a header: it holds control or other signs")
        yield header, f"Bearer {value}" if header == "Authorization" and variable == token_env else value


def short(value: Any) -> str:
    """A foreign value as one short line without control characters."""
    words = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
    words = "".join(sign if sign.isprintable() else " " for sign in words[:400])
    return " ".join(words.split())[:120]


def _message(content: bytes) -> str:
    """What the server says about a refusal."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    for key in ("error", "message", "detail"):
        if isinstance(said, dict) and key in said:
            said = said[key]
    return f": {short(said)}" if said else ""
