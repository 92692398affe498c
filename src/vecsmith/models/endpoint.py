"""Vectors from a server: OpenAI's `/v1/embeddings` and text-embeddings-inference's `/embed`.

Every answer is bounded in size and time, redirects are not followed, and a key is known by the name of the environment
variable that holds it: it goes into the request's header and nowhere else.
"""

import base64
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import DataError, LimitExceeded, UsageError
from vecsmith.models.exchange import Absent, Exchange, Refused, checked_address, secret_headers, short
from vecsmith.progress import SILENT, Progress

__all__ = ["DIALECTS", "PROMPTS", "EndpointEncoder", "Refused"]

Float = NDArray[np.float32]

DIALECTS = ("auto", "openai", "tei")
PROMPTS = ("none", "text", "name")


class EndpointEncoder:
    """Texts to vectors by a server.

    Attributes: `name`, the address without query; `dialect`; `dimension`, known after the first answer.
    """

    def __init__(
        self,
        url: str,
        *,
        dialect: str = "auto",
        model: str | None = None,
        token_env: str | None = None,
        header_env: Mapping[str, str] | None = None,
        prompts: str = "none",
        prompt_texts: Mapping[str | None, str] | None = None,
        encoding: str = "float",
        batch_size: int = 16,
        timeout_seconds: float = 60.0,
    ) -> None:
        """A client; nothing is sent before the first text.

        url              http or https: a full address ending in /embeddings or /embed, or a base address, at which
                         /v1/embeddings is tried first, then /embed
        dialect          "openai", "tei", or "auto" by the address
        model            the `model` of an OpenAI request; by default the first that /v1/models names, else "default"
        token_env        name of the environment variable with the key, sent as "Authorization: Bearer ..."
        header_env       further headers: name -> environment variable
        prompts          what is done about roles: "none" sends texts alone, "text" puts `prompt_texts[role]` before
                         them, "name" sends `prompt_name` and `input_type`
        encoding         of OpenAI answers: "float" or "base64"
        batch_size       texts of one request, 1 to 1,024
        timeout_seconds  of one request, answer included
        raises           UsageError: another scheme, a password in the address, an option out of range, or a variable
                         that is not set
        """
        self.url, self.name = checked_address(url)
        if dialect not in DIALECTS or prompts not in PROMPTS or encoding not in ("float", "base64"):
            raise UsageError(
                f"dialect {dialect}, prompts {prompts} or encoding {encoding} is unknown; dialects: "
                f"{', '.join(DIALECTS)}; prompts: {', '.join(PROMPTS)}; encodings: float, base64"
            )
        if not 1 <= batch_size <= 1024 or timeout_seconds <= 0:
            raise UsageError(f"batch_size {batch_size} must be 1 to 1,024, timeout_seconds {timeout_seconds} above 0")
        self.prompts, self.encoding = prompts, encoding
        self.batch_size = batch_size
        self.dimension: int | None = None
        self._prompt_texts = dict(prompt_texts or {})
        self._model = model
        headers = dict(secret_headers(token_env, header_env or {}))
        self._exchange = Exchange(self.name, headers, token_env, timeout_seconds)
        self.dialect, self._address = self._by_address(dialect)

    def encode(self, texts: Iterable[str], *, prompt: str | None = None, progress: Progress = SILENT) -> Float:
        """Vectors in the order of the texts: float32 [n, dimension]; `prompt` is a role.

        raises    DataError: no connection, a refusal, or an answer that is not one finite vector per text;
                  LimitExceeded: an answer over 64 MB, or one that takes longer than `timeout_seconds`
        """
        inputs = list(texts)
        batches = [inputs[at : at + self.batch_size] for at in range(0, len(inputs), self.batch_size)]
        found = []
        with progress.task("encoding", total=len(inputs), unit="texts") as task:
            for batch in batches:
                found.append(self._batch(batch, prompt))
                task.advance(len(batch))
        return np.concatenate(found) if found else np.empty((0, self.dimension or 0), dtype=np.float32)

    def encode_query(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        """Vectors of queries."""
        return self.encode(texts, prompt="query", progress=progress)

    def encode_document(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        """Vectors of documents."""
        return self.encode(texts, prompt="document", progress=progress)

    def encode_or_refuse(self, texts: Sequence[str], prompt: str | None = None) -> tuple[Float, dict[int, str]]:
        """As `encode`; where the server refuses a request, its texts are sent one by one.

        returns   float32 [n, dimension], zeros where refused, and row -> the server's words
        raises    as `encode`; DataError where every text is refused
        """
        rows: dict[int, Float] = {}
        refused: dict[int, str] = {}
        for at in range(0, len(texts), self.batch_size):
            batch = list(texts[at : at + self.batch_size])
            try:
                rows.update(enumerate(self._batch(batch, prompt), start=at))
            except Refused:
                for row, text in enumerate(batch, start=at):
                    try:
                        rows[row] = self._batch([text], prompt)[0]
                    except Refused as error:
                        refused[row] = str(error).partition(": ")[2] or str(error)
        if not rows and texts:
            raise Refused(f"every text is refused: {next(iter(refused.values()))}", file=self.name)
        vectors = np.zeros((len(texts), self.dimension or 0), dtype=np.float32)
        for row, vector in rows.items():
            vectors[row] = vector
        return vectors, refused

    def _batch(self, texts: list[str], role: str | None) -> Float:
        """One request: float32 [n, dimension]."""
        if self.dialect == "auto":
            self._find_dialect(texts, role)
        answer = self._exchange.post(self._address, self._body(texts, role))
        read = _read_openai if self.dialect == "openai" else _read_tei
        vectors = read(answer, self.name)
        if len(vectors) != len(texts):
            raise DataError(
                f"{len(vectors)} vectors for {len(texts)} texts; the server drops inputs, or joins them", file=self.name
            )
        widths = {len(vector) for vector in vectors} | ({self.dimension} if self.dimension else set())
        if len(widths) != 1 or 0 in widths:
            raise DataError(
                f"vectors of {_either(widths)} components in one answer; expected one width", file=self.name
            )
        found = np.stack(vectors)
        finite = np.isfinite(found).all(axis=1)
        if not finite.all():
            text = texts[int((~finite).argmax())]
            raise DataError(
                f"NaN or infinity in the vector of {text[:40]!r}; the server's weights or number type are broken "
                "(float16 overflows in some models: start it with bfloat16 or float32)",
                file=self.name,
            )
        self.dimension = found.shape[1]
        return found

    def _body(self, texts: list[str], role: str | None) -> dict[str, Any]:
        before = self._prompt_texts.get(role, "") if self.prompts == "text" else ""
        inputs = [before + text for text in texts]
        named = {"prompt_name": role, "input_type": role} if self.prompts == "name" and role else {}
        if self.dialect == "tei":
            named.pop("input_type", None)
            return {"inputs": inputs, "truncate": True, **named}
        if self._model is None:
            self._model = self._first_model()
        return {"input": inputs, "model": self._model, "encoding_format": self.encoding, **named}

    def _by_address(self, dialect: str) -> tuple[str, str]:
        """Dialect and address as far as the address tells."""
        path = urllib.parse.urlsplit(self.url).path.rstrip("/")
        if path.endswith("/embeddings"):
            return "openai" if dialect == "auto" else dialect, self.url
        if path.endswith("/embed"):
            return "tei" if dialect == "auto" else dialect, self.url
        if dialect == "openai":
            return dialect, self._below("embeddings" if path.endswith("/v1") else "v1/embeddings")
        if dialect == "tei":
            return dialect, self._below("embed")
        return dialect, self.url

    def _find_dialect(self, texts: list[str], role: str | None) -> None:
        """At a base address: OpenAI's way where it answers, else text-embeddings-inference's."""
        path = urllib.parse.urlsplit(self.url).path.rstrip("/")
        for dialect, tail in (("openai", "embeddings" if path.endswith("/v1") else "v1/embeddings"), ("tei", "embed")):
            self.dialect, self._address = dialect, self._below(tail)
            try:
                self._exchange.post(self._address, self._body(["embedding"], None))
            except Absent:
                continue
            except Refused:
                pass
            return
        self.dialect, self._address = "auto", self.url
        raise DataError("neither /v1/embeddings nor /embed is there; give the full address", file=self.name)

    def _below(self, tail: str) -> str:
        parts = urllib.parse.urlsplit(self.url)
        return urllib.parse.urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{tail}"))

    def _first_model(self) -> str:
        """What /v1/models names first; "default" where it is not there or says nothing."""
        address = self._address.rpartition("/")[0] + "/models"
        try:
            return str(self._exchange.get(address)["data"][0]["id"])
        except (DataError, LimitExceeded, KeyError, IndexError, TypeError):
            return "default"


def _read_openai(answer: Any, name: str) -> list[Float]:
    """`{"data": [{"index", "embedding": [...] or base64}]}` in the order of `index`."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(entry, dict) and "embedding" in entry for entry in data):
        raise DataError(f"no list `data` of embeddings in the answer: {short(answer)!r}", file=name)
    places = [entry.get("index", place) for place, entry in enumerate(data)]
    if sorted(map(str, places)) != sorted(map(str, range(len(data)))):
        raise DataError(
            f"the answer numbers its vectors {places[:5]}; expected each of 0 to {len(data) - 1} once", file=name
        )
    ordered = sorted(zip(map(int, places), data, strict=True), key=lambda entry: entry[0])
    return [_vector(entry["embedding"], name) for _, entry in ordered]


def _read_tei(answer: Any, name: str) -> list[Float]:
    """`[[...], ...]`."""
    if not isinstance(answer, list):
        raise DataError(f"no list of vectors in the answer: {short(answer)!r}", file=name)
    return [_vector(row, name) for row in answer]


def _vector(value: Any, name: str) -> Float:
    """float32 [width] of a list of numbers, or of base64 of little-endian float32."""
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        if isinstance(value, list) and all(isinstance(number, int | float) for number in value):
            with np.errstate(over="ignore"):
                return np.array(value, dtype=np.float64).astype(np.float32)
    except (ValueError, OverflowError):
        pass
    raise DataError(f"an embedding is neither a list of numbers nor base64 of float32: {short(value)!r}", file=name)


def _either(widths: set[int]) -> str:
    return " and ".join(map(str, sorted(widths)))
