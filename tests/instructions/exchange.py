"""The client of a measured request, and the upstream behind it."""
import socket

from daemon import PATIENCE, Failure

BODY = b'{"orders":[{"id":1041,"item":"lamp","count":2,"state":"sent"}]}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY), BODY)


def receive_head(connection):
    """The head, and what came behind it; nothing at all at the end of the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return b"", b""
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def receive_response(connection):
    """Its status. The body has a Content-Length."""
    head, body = receive_head(connection)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" not in fields:
        raise Failure(f"no response, or one without Content-Length: {head[:200]}")
    while len(body) < int(fields[b"content-length"]):
        more = connection.recv(65536)
        if not more:
            raise Failure(f"half a response: {head[:200]}")
        body += more
    return int(head.split()[1])


class Upstream:
    """Answers when it is told to. A context manager."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        if self.connection:
            self.connection.close()

    def answer(self, daemon):
        """One request, once the daemon waits for nothing else."""
        head = receive_head(self.connection)[0] if self.connection else b""
        if not head:
            self.connection, _ = self.listener.accept()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.settimeout(PATIENCE)
            receive_head(self.connection)
        daemon.rest()
        self.connection.sendall(RESPONSE)


class Client:
    """One kept-alive connection, for one request again and again."""

    def __init__(self, daemon, path, headers, status, upstream=None):
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self.request = "\r\n".join([*lines, "", ""]).encode()
        self.daemon, self.status, self.upstream = daemon, status, upstream
        self.connection = daemon.connect()

    def ask(self):
        self.connection.sendall(self.request)
        if self.upstream:
            self.upstream.answer(self.daemon)
        status = receive_response(self.connection)
        if status != self.status:
            raise self.daemon.failure(f"answered {status} instead of {self.status}")
        self.daemon.rest()
