"""A small server of embeddings that speaks both dialects, and can be told to go wrong in the ways servers do."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

Encode = Callable[[list[str]], np.ndarray]


class Server(ThreadingHTTPServer):
    """`encode` makes the vectors; `fault` names what goes wrong; `seen` holds (path, body, headers) of each request."""

    daemon_threads = True

    def __init__(self, encode: Encode, fault: str = "", key: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.encode, self.fault, self.key = encode, fault, key
        self.seen: list[tuple[str, Any, dict[str, str]]] = []
        self.busy = 2  # answers 503 of the fault "busy"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    """/v1/embeddings, /v1/models, /embed."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        self.server.seen.append((self.path, None, dict(self.headers)))
        self._answer(200, {"data": [{"id": "tiny"}]}) if self.path == "/v1/models" else self._answer(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body, dict(self.headers)))
        fault = self.server.fault
        if self.server.key is not None and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            return self._answer(401, {"error": {"message": f"bad key {self.headers.get('Authorization')}"}})
        if fault == "redirect":
            return self._answer(307, {}, {"Location": "http://127.0.0.1:9/elsewhere"})
        if fault == "busy" and self.server.busy > 0:
            self.server.busy -= 1
            return self._answer(503, {"error": "loading"}, {"Retry-After": "0"})
        if fault == "html":
            return self._raw(200, b"<html>It works!</html>")
        if fault == "slow":
            time.sleep(3)
        if fault == "endless":
            return self._endless()
        texts = body.get("inputs" if self.path == "/embed" else "input")
        if self.path == "/embed" and fault != "only openai":
            return self._embed(texts)
        if self.path == "/v1/embeddings" and fault != "only tei":
            return self._embeddings(texts, body)
        return self._answer(404, {"error": "no such route"})

    def _refused(self, texts: list[str]) -> bool:
        wanted = {"refuses empty": lambda text: not text, "refuses all": lambda text: True}.get(self.server.fault)
        return wanted is not None and any(map(wanted, texts))

    def _embed(self, texts: list[str]) -> None:
        if self._refused(texts):
            return self._answer(422, {"error": "`inputs` cannot be empty", "error_type": "Validation"})
        return self._answer(200, self._rows(texts))

    def _embeddings(self, texts: list[str], body: dict[str, Any]) -> None:
        if self._refused(texts):
            return self._answer(400, {"error": {"message": "input cannot be an empty string", "code": 400}})
        data = [
            {"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(self._rows(texts))
        ]
        if body.get("encoding_format") == "base64":
            for entry in data:
                entry["embedding"] = base64.b64encode(np.array(entry["embedding"], "<f4").tobytes()).decode()
        if self.server.fault == "shuffled":
            data.reverse()
        return self._answer(200, {"object": "list", "data": data, "model": "tiny"})

    def _rows(self, texts: list[str]) -> list[list[float]]:
        rows = np.asarray(self.server.encode(texts), dtype=np.float64).tolist()
        if self.server.fault == "nan":
            rows[-1][0] = float("nan")
        if self.server.fault == "null":
            rows[-1][0] = None
        if self.server.fault == "drops one":
            rows.pop()
        if self.server.fault == "ragged":
            rows[-1].append(0.0)
        return rows

    def _answer(self, code: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._raw(code, json.dumps(value).encode(), headers)

    def _raw(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(b"1" * (1 << 20))


@contextmanager
def serving(encode: Encode, fault: str = "", key: str | None = None) -> Iterator[Server]:
    """A running server on a free port of this machine."""
    server = Server(encode, fault, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
