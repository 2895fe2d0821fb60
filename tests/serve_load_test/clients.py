"""Clients of every kind for a server of completions: patient, careless and hostile ones."""

import http.client
import json
import random
import re
import socket
import ssl
import struct
import time

PATIENCE = 600  # for machines that do much else; what hangs is ended by ctest before
CONTEXT = 256
CUT_OFF = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
# Each is refused, and the connection ends.
HOSTILE = (
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n",
    b"GET /" + b"a" * 70_000, b"\x16\x03\x01\0\xff" * 50 + b"\r\n\r\n", b"\0\r\n\r\n")
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["a", "b"], "properties": {
    "a": {"enum": ["x", "é"]}, "b": {"type": "array", "maxItems": 2, "items": {"type": "boolean"}}}}


class Gone(Exception):
    """The server closed the connection before it began to answer."""


class Client:
    """Has a connection of its own. A refusal is an answer; an answer cut short is a failure."""

    def __init__(self, port, key, seed, tls=None):
        self.port, self.key, self.random, self.tls = port, key, random.Random(seed), tls
        self.http = (http.client.HTTPConnection("127.0.0.1", port, PATIENCE) if tls is None else
                     http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=tls))

    def answer_to(self, path, body):
        self.http.request("GET" if body is None else "POST", path,
                          None if body is None else json.dumps(body),
                          {"Content-Type": "application/json",
                           "Authorization": f"Bearer {self.key}"})
        return self.http.getresponse()

    def ask(self, path, body=None):
        """The status and the body, read as JSON where it is."""
        try:
            answer = self.answer_to(path, body)
        except CUT_OFF:  # it rested for long, perhaps, while others were used
            self.http.close()
            try:
                answer = self.answer_to(path, body)
            except CUT_OFF as error:
                raise Gone from error
        text = answer.read().decode()
        is_json = answer.headers["Content-Type"].startswith("application/json")
        return answer.status, json.loads(text) if is_json else text

    def fields(self, **more):
        prompt = [self.random.randrange(500) for _ in range(self.random.choice((1, 17, 90, 180)))]
        return {"model": "little", "prompt": prompt, "max_tokens": self.random.randrange(1, 60),
                "ignore_eos": True, **more}

    def request(self, body):
        text = json.dumps(body).encode()
        return (f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.key}"
                f"\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
                ).encode() + text

    def raw(self, sent, receive_bytes=None):
        """A socket of its own on which `sent` was sent."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(("127.0.0.1", self.port))
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock)
            sock.sendall(sent)
        except CUT_OFF as error:
            sock.close()
            raise Gone from error
        return sock

    # Each kind of request. What it returns is checked against the rest.

    def greedy(self):
        body = {"model": "little", "prompt": [7, 8, 9] * 20, "max_tokens": 30, "temperature": 0,
                "ignore_eos": True}
        status, answer = self.ask("/v1/completions", body)
        return ("greedy", answer["choices"][0]["text"]) if status == 200 else (status, answer)

    def sampled(self):
        return self.ask("/v1/completions", self.fields(
            n=self.random.randrange(1, 4), logprobs=2, seed=self.random.randrange(9),
            stop=["zz", "\n\n"], presence_penalty=0.5, echo=True))

    def stream(self):
        body = self.fields(stream=True, stream_options={"include_usage": True})
        status, text = self.ask("/v1/completions", body)
        if status != 200:
            return status, text
        status, told = self.events(text)
        if status != 200:
            return status, told[-1]
        assert told[-1]["usage"]["completion_tokens"] == body["max_tokens"], told[-1]
        return 200, told

    def events(self, text):
        """The status and the events of a stream, whole or ended by an error."""
        events = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
        assert events[-1] == "[DONE]", events[-1]
        told = [json.loads(event) for event in events[:-1]]
        return 500 if any("error" in event for event in told) else 200, told

    def leave_a_stream(self):
        heard = b""
        body = self.fields(prompt=[1], max_tokens=CONTEXT - 1, n=2, stream=True)
        with self.raw(self.request(body)) as sock:
            for _ in range(self.random.randrange(3)):
                if len(heard) > 12 and not heard.startswith(b"HTTP/1.1 200"):
                    break  # refused: nothing more comes
                try:
                    heard += sock.recv(self.random.randrange(1, 2000))
                except CUT_OFF as error:
                    raise Gone from error
            if self.random.random() < 0.5:  # a reset, not an end
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return 200, None

    def read_slowly(self):
        try:
            return self.heard_slowly()
        except CUT_OFF as error:  # too slow for the end of a server
            raise Gone from error

    def heard_slowly(self):
        heard = b""
        request = self.request(self.fields(prompt=[1], max_tokens=80, stream=True))
        with self.raw(request, receive_bytes=1 << 12) as sock:
            while not heard.endswith(b"0\r\n\r\n") and (part := sock.recv(97)):
                heard += part
                if self.random.random() < 0.05:
                    time.sleep(0.01)
                if not heard.startswith(b"HTTP/1.1 200") and len(heard) > 13:
                    return int(heard[9:12]), {"error": {}}
        if not heard:
            raise Gone
        assert b"data: [DONE]" in heard, heard[-300:]
        return 200, None

    def leave_in_a_request(self):
        with self.raw(self.request(self.fields())[:self.random.randrange(1, 200)]):
            pass
        return 200, None

    def send_many_ahead(self):
        """Requests on one connection before the first is answered, and perhaps away."""
        get = b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n"
        last = get.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        with self.raw(get * 20 + self.request(self.fields(max_tokens=3)) + last) as sock:
            if self.random.random() < 0.5:
                return 200, None
            if self.all_of(sock).count(b"HTTP/1.1 ") < 22:
                raise Gone
        return 200, None

    def be_hostile(self):
        with self.raw(self.random.choice(HOSTILE)) as sock:
            heard = self.all_of(sock)
        assert re.match(rb"HTTP/1\.1 (400|413|431|501|505) ", heard), heard[:300]
        return 200, None

    def all_of(self, sock):
        heard = b""
        try:
            while part := sock.recv(1 << 16):
                heard += part
        except CUT_OFF as error:
            raise Gone from error
        if not heard:
            raise Gone
        return heard

    def schema(self):
        streams = self.random.random() < 0.5
        status, answer = self.ask("/v1/chat/completions", {
            "model": "little", "max_tokens": 100, "n": 2, "stream": streams,
            "messages": [{"role": "user", "content": self.random.choice(("a", "é" * 20))}],
            "response_format": {"type": "json_schema",
                                "json_schema": {"name": "s", "schema": SCHEMA}}})
        if status == 200 and streams:
            status, answer = self.events(answer)
        if status != 200:
            return status, answer
        texts, ends = ["", ""], [None, None]
        for choice in [c for part in (answer if streams else [answer]) for c in part["choices"]]:
            said = choice["delta" if streams else "message"].get("content")
            texts[choice["index"]] += said or ""
            ends[choice["index"]] = choice["finish_reason"]
        for text, end in zip(texts, ends):
            assert end in ("stop", "length"), answer
            if end == "stop":
                said = json.loads(text)
                assert set(said) == {"a", "b"} and said["a"] in ("x", "é"), said
        return status, answer

    def embed(self):
        status, answer = self.ask("/v1/embeddings", {
            "model": "little", "input": ["a", "b" * self.random.randrange(1, 40), "é"],
            "encoding_format": self.random.choice(("float", "base64"))})
        if status == 200:
            assert len(answer["data"]) == 3
        return status, answer

    def tokens(self):
        text = "never trust " * self.random.randrange(1, 30)
        status, answer = self.ask("/tokenize", {"model": "little", "prompt": text})
        if status != 200:
            return status, answer
        status, answer = self.ask("/detokenize", {"model": "little", "tokens": answer["tokens"]})
        if status == 200:
            assert answer["prompt"] == text
        return status, answer

    def judge(self):
        status, answer = self.ask("/v1/completions", self.fields(max_tokens=2))
        if status != 200:
            return status, answer
        return self.ask("/v1/feedback", {"completion_id": answer["id"], "rating": 1})

    def look(self):
        status, page = self.ask(self.random.choice(("/metrics", "/v1/models", "/version")))
        assert status == 200 and page
        return status, page

    def wrong(self):
        status, answer = self.ask("/v1/completions", self.random.choice((
            self.fields(model="other"), self.fields(temperature=9), {"model": "little"},
            self.fields(prompt=[10 ** 9]), self.fields(prompt=[1] * 9999))))
        assert status in (400, 404, 422, 429, 503), (status, answer)
        return status, answer

    def anything(self):
        """(kind, status, answer)"""
        ask = self.random.choice((self.greedy, self.greedy, self.sampled, self.stream, self.stream,
                                  self.leave_a_stream, self.read_slowly, self.leave_in_a_request,
                                  self.send_many_ahead, self.be_hostile, self.schema, self.embed,
                                  self.tokens, self.judge, self.look, self.wrong))
        status, answer = ask()
        if isinstance(status, int) and status >= 400:
            assert "error" in answer, answer
            assert status in (400, 404, 422, 429, 500, 503), (ask.__name__, status, answer)
        return ask.__name__, status, answer
