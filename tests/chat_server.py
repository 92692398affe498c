"""A recorded chat endpoint: replies by the words of the request, or goes wrong in the ways servers do."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[list[dict[str, str]]], str]


class Server(ThreadingHTTPServer):
    """`reply` gives the text; `fault` names what goes wrong; `seen` holds (body, headers) of each request."""

    daemon_threads = True

    def __init__(self, reply: Reply, fault: str = "", key: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.fault, self.key = reply, fault, key
        self.seen: list[tuple[Any, dict[str, str]]] = []
        self.busy = 2

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((body, dict(self.headers)))
        fault = self.server.fault
        if self.path != "/v1/chat/completions":
            return self._answer(404, {"error": "no such route"})
        if self.server.key is not None and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            return self._answer(401, {"error": {"message": f"bad key {self.headers.get('Authorization')}"}})
        if fault in ("429", "503", "500") and self.server.busy > 0:
            self.server.busy -= 1
            return self._answer(int(fault), {"error": {"message": "not now"}}, {"Retry-After": "0"})
        if fault == "refuses":
            return self._answer(400, {"error": {"message": "context length exceeded"}})
        if fault == "slow":
            time.sleep(2)
        if fault == "other form":
            return self._answer(200, {"object": "list", "data": []})
        text = "" if fault == "empty" else self.server.reply(body["messages"])
        ended = "length" if fault == "over-long" else "stop"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": ended}
        return self._answer(200, {"object": "chat.completion", "model": "tiny", "choices": [choice]})

    def _answer(self, code: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(code)
        for name, words in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, words)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def chatting(reply: Reply, fault: str = "", key: str | None = None) -> Iterator[Server]:
    """A running server on a free port of this machine."""
    server = Server(reply, fault, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
