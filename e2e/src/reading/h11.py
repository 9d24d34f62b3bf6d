"""Reads messages with h11. Each line in is a question, each line out its answer, both JSON; bytes are hexadecimal."""

import json
import sys

import h11

MOST = 1 << 24


class Read:
    """The whole messages so far, and the one that is being read."""

    def __init__(self):
        self.messages = []
        self.current = None

    def begins(self, event, **start):
        self.current = {**start, "fields": fields(event.headers), "body": "", "trailers": []}

    def ends(self, trailers=()):
        self.current["trailers"] = fields(trailers)
        self.messages.append(self.current)
        self.current = None


def fields(headers):
    return [[name.decode("latin-1"), value.hex()] for name, value in headers]


def requests(read, question):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST)
    connection.receive_data(bytes.fromhex(question["bytes"]))
    while read.current or connection.trailing_data[0]:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            return "incomplete"
        if event is h11.PAUSED:
            return "bytes behind the last request"
        if isinstance(event, h11.Request):
            if event.http_version != b"1.1":
                return "version"
            read.begins(event, method=event.method.decode("latin-1"), target=event.target.decode("latin-1"))
        elif isinstance(event, h11.Data):
            read.current["body"] += event.data.hex()
        elif isinstance(event, h11.EndOfMessage):
            read.ends(event.headers)
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
                connection.start_next_cycle()
    return "clean"


def responses(read, question):
    connection = client(bytes.fromhex(question["bytes"]), question["closed"])
    for method in question["methods"]:
        if not connection.trailing_data[0]:
            return "clean"
        ask(connection, method)
        while method:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                is_between = read.current is None and not connection.trailing_data[0]
                return "clean" if is_between else "incomplete"
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return "clean" if read.current is None else "incomplete"
            if isinstance(event, h11.InformationalResponse):
                read.begins(event, status=event.status_code)
                read.ends()
            elif isinstance(event, h11.Response):
                read.begins(event, status=event.status_code)
            elif isinstance(event, h11.Data):
                read.current["body"] += event.data.hex()
            elif isinstance(event, h11.EndOfMessage):
                read.ends(event.headers)
                method = None
        if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
            connection.start_next_cycle()
        elif connection.trailing_data[0]:
            if not goes_on(read.messages[-1], connection):
                return "bytes behind the last response"
            connection = client(connection.trailing_data[0], question["closed"])
    return "more responses than requests" if connection.trailing_data[0] else "clean"


def client(given, is_closed):
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST)
    connection.receive_data(given)
    if is_closed:
        connection.receive_data(b"")
    return connection


def goes_on(message, connection):
    """Whether HTTP/1.0 keeps the connection because both sides say so (RFC 9112 section 9.3), which h11 does not know."""
    keeps = ["connection", b"keep-alive".hex()]
    return connection.their_http_version == b"1.0" and keeps in message["fields"]


def ask(connection, method):
    # Which protocol was asked for does not matter here. CONNECT is answered with an error alone, which is read like any other.
    method = "GET" if method == "CONNECT" else method
    headers = [("host", "h"), ("connection", "upgrade"), ("upgrade", "x")]
    connection.send(h11.Request(method=method, target="/", headers=headers))
    connection.send(h11.EndOfMessage())


def answer(question):
    read = Read()
    try:
        end = (requests if question["role"] == "server" else responses)(read, question)
    except h11.RemoteProtocolError as error:
        # The end of a connection where none may be: cut, and not wrong.
        is_cut = question.get("closed") and ("closed" in str(error) or "incomplete" in str(error))
        end = "incomplete" if is_cut else str(error)
    return {"messages": read.messages, "end": end}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
