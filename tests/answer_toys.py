"""Passages, drafts and endpoints for the tests of answers."""

import json
import random
import threading
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from isthmus.search.hits import Hit

ODD = """\
tower iron metres tall built visitors café naïve Ångström résumé ﬁne oﬀice ½ ² x-ray don't it's is
year’s 330 1.5 3,000 -40 −7 U.S. “quoted” «dit» (aside) [12] .* \\d+ ^$ {0} %s a|b c++ it the of
Ελλάδα Москва 東京タワー ไทย אבג عربي e\u0301tude zero\u200bwidth soft\u00adhyphen \u202eabc\u202c
\x1b[31mred not effective ineffective tall. built, metres; 🙂 👩\u200d🚀 — – …"""
WORDS = tuple(ODD.replace("\n", " ").split(" "))
SPACES = (" ", " ", " ", " ", "\n", "  ", "\t", "\u00a0", "\r\n", "\u2003")


def text_of(chance: random.Random, least: int = 12, most: int = 60) -> str:
    """A text of odd words, drawn without preference for short ones."""
    pairs = (
        (chance.choice(WORDS), chance.choice(SPACES)) for _ in range(chance.randint(least, most))
    )
    return "".join(word + space for word, space in pairs).rstrip()


def hits_of(found: list[str]) -> list[Hit]:
    """Passages of one document each, which begins with something else."""
    return [
        Hit(f"d{i}#0", 1.0, text, f"d{i}", source=f"d{i}.md", start=7, end=7 + len(text))
        for i, text in enumerate(found)
    ]


def spoken(words: str) -> str:
    """A simple second way to compare words: no marks at all, one space between."""
    kept = (
        " " if c.isspace() else c
        for c in unicodedata.normalize("NFKC", words)
        if c.isspace() or unicodedata.category(c)[0] in "LNM"
    )
    return " ".join("".join(kept).split())


def answer_of(*claims: tuple[str, int | str, str], insufficient: bool = False) -> str:
    """What a model that keeps to the schema writes."""
    items = [{"claim": c, "passage": p, "quote": q} for c, p, q in claims]
    return json.dumps({"claims": items, "insufficient": insufficient})


class Scripted:
    """An endpoint that says what it was told to, in pieces where they are asked for."""

    base_url = "http://127.0.0.1:1/v1"

    def __init__(self, *answers: str | Exception, piece: int = 7) -> None:
        self.answers, self.piece, self.asked = list(answers), piece, []

    def chat(self, model, messages, *, schema=None, on_text=None, temperature=0.0, max_tokens=1024):
        self.asked.append({"model": model, "messages": messages, "schema": schema})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if on_text is not None:
            for start in range(0, len(answer), self.piece):
                on_text(answer[start : start + self.piece])
        return answer


class Server:
    """A server on loopback that speaks as little of OpenAI's interface as is needed.

    ``answers`` is called with the messages of a request, and returns the text of the answer, or a
    status and a body.
    """

    def __init__(self, answers) -> None:
        self.answers, self.requests = answers, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                size = int(self.headers["Content-Length"])
                request = json.loads(self.rfile.read(size))
                outer.requests.append(request)
                said = outer.answers(request)
                status, body, kind = 200, said, "application/json"
                if isinstance(said, tuple):
                    status, body = said
                elif request.get("stream"):
                    kind = "text/event-stream"
                    pieces = [said[i : i + 11] for i in range(0, len(said), 11)]
                    events = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
                    body = (
                        "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"
                    )
                else:
                    body = json.dumps({"choices": [{"message": {"content": said}}]})
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.http.shutdown()
        self.http.server_close()
