"""A server on loopback that speaks, or fails to speak, OpenAI's HTTP interface."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What the server says once."""

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] | None = None  # sent one after the other, without a length
    pause: float = 0.0  # before each piece, or before the whole
    cut: bool = False  # the connection ends without the rest


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(
        json.dumps(value).encode(), status, {"Content-Type": "application/json"} | headers
    )


def stream(*events: Any, done: bool = True, **more: Any) -> Answer:
    """Server-sent events: values as JSON, texts as they are."""
    datas = [event if isinstance(event, str) else json.dumps(event) for event in events]
    pieces = [f"data: {data}\n\n".encode() for data in [*datas, *(["[DONE]"] if done else [])]]
    return Answer(pieces=pieces, headers={"Content-Type": "text/event-stream"}, **more)


def delta(text: str | None, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": reason}]}


def said(text: Any, reason: str = "stop", **more: Any) -> Answer:
    message = {"role": "assistant", "content": text} | more
    return as_json({"choices": [{"message": message, "finish_reason": reason}]})


def vectors(*rows: Any) -> Answer:
    return as_json({"data": [{"index": i, "embedding": row} for i, row in enumerate(rows)]})


@dataclass
class Asked:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    content: Any


class Server:
    """Answers from a list, the last one again and again, or with a function of the request."""

    def __init__(self, *answers: Answer | Callable[[Asked], Answer]) -> None:
        self.answers, self.asked = list(answers), list[Asked]()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def next(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(asked) if callable(answer) else answer


@contextlib.contextmanager
def serving(*answers: Answer | Callable[[Asked], Answer], port: int = 0) -> Iterator[Server]:
    server = Server(*answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            raw = self.rfile.read(length)
            content = json.loads(raw) if raw else None
            asked = Asked(self.command, self.path, dict(self.headers.items()), content)
            with contextlib.suppress(OSError):
                self.tell(server.next(asked))

        def tell(self, answer: Answer) -> None:
            pieces = [answer.body] if answer.pieces is None else answer.pieces
            self.send_response(answer.status)
            length = len(answer.body) + answer.cut
            open_ended = answer.pieces is not None or answer.cut
            known = {"Connection": "close"} if open_ended else {}
            known |= {"Content-Length": str(length)} if answer.pieces is None else {}
            for name, value in (known | answer.headers).items():
                self.send_header(name, value)
            self.close_connection = self.close_connection or open_ended
            waited = answer.pause and answer.pieces is None
            if waited:
                server.over.wait(answer.pause)
            self.end_headers()
            for piece in pieces:
                if answer.pause and not waited:
                    self.wfile.flush()
                    server.over.wait(answer.pause)
                self.wfile.write(piece)
                self.wfile.flush()
            if answer.cut and answer.pieces is not None:
                self.connection.close()

        do_GET = do_POST = answer

        def log_message(self, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Quiet(("127.0.0.1", port), Handler) as http:
        server.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            http.shutdown()
            thread.join()


def toy_vectors(dim: int = 8) -> Callable[[Asked], Answer]:
    """A model of embeddings: numbers from the hash of each text."""

    def answer(asked: Asked) -> Answer:
        rows = []
        for text in asked.content["input"]:
            raw = hashlib.sha256(f"{asked.content['model']} {text}".encode()).digest()
            rows.append([byte / 255 - 0.5 for byte in raw[:dim]])
        return vectors(*rows)

    return answer


def free_port() -> int:
    """A port of loopback at which nothing listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        return int(http.server_address[1])


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
