"""Resident memory: when idle, for idle connections, and for tokens in the cache."""
import contextlib
import resource
import socket
import sys
import time

import load
from growth import MOST_CONNECTIONS
from load import Load
from proof import request
from server import Failure

ALGORITHM = "RS256"
CONNECTIONS = 10000
TOKENS = 50000  # less than the cache holds
# Those of this process that are no connections.
OTHER_FILES = 200
SETTLE_SECONDS = 8
# Idle is who has been so for a while: bearerd takes resting connections out of libmicrohttpd.
REST_SECONDS = 10
# Apache gives a thread to each connection until its first request is there.
THREAD_EACH = ("apache",)


class Memory:
    name, kind = "memory", "memory"

    def run(self, scene):
        found = {}
        for name in ("bearerd", "haproxy", "apache", "nginx"):
            if not scene.has(name):
                continue
            found[name] = {"idle_bytes": idle(scene, name), **crowd(scene, name)}
            print(f"memory: {name} {found[name]}", file=sys.stderr)
        if "bearerd" in found:
            found["bearerd"].update(cached_tokens(scene))
        return found


def idle(scene, name):
    with scene.server(name, "answer", ALGORITHM) as server:
        time.sleep(0.5)
        return server.resident_bytes()


def crowd(scene, name):
    """Connections on which nothing was asked yet, then the same when each had one answer."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES
    if room < CONNECTIONS:
        raise Failure(f"{CONNECTIONS} connections need more open files than ulimit -n allows")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(scene.server(name, "answer", ALGORITHM,
                                                  CONNECTIONS=MOST_CONNECTIONS))
        asking = request(server, scene.issuers[ALGORITHM].token())
        files = server.open_files()
        with connect(server) as one:
            ask(server, one, asking)
        before, unused = server.resident_bytes(), None
        if name not in THREAD_EACH:
            clients = [stack.enter_context(connect(server)) for _ in range(CONNECTIONS)]
            wait_for_connections(server, files)
            unused = server.resident_bytes()
        else:
            clients = (stack.enter_context(connect(server)) for _ in range(CONNECTIONS))
        for client in clients:
            ask(server, client, asking)
        time.sleep(REST_SECONDS)
        used = server.resident_bytes()
    return {"connections": CONNECTIONS, "with_connections_bytes": used,
            "per_unused_connection_bytes": unused and (unused - before) / CONNECTIONS,
            "per_connection_bytes": (used - before) / CONNECTIONS}


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), 10)


def wait_for_connections(server, files):
    until = time.monotonic() + SETTLE_SECONDS
    while server.open_files() < files + CONNECTIONS:
        if time.monotonic() > until:
            raise server.failure(f"does not take {CONNECTIONS} connections")
        time.sleep(0.05)


def ask(server, client, asking):
    client.sendall(asking)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = client.recv(65536)
        if not piece:
            raise server.failure("closed one of many connections")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise server.failure(f"answers {answer[:40]} on one of many connections")


def cached_tokens(scene):
    """By the load itself, so that connections and buffers are there before and after."""
    issuer = scene.issuers[ALGORITHM]
    few, many = Load(issuer.tokens(1)), Load(issuer.tokens(TOKENS))
    with scene.server("bearerd", "answer", ALGORITHM) as server:
        load.measure(server, scene.upstream, scene.load_core, 1, few)
        before = server.resident_bytes()
        load.use_each_token(server, scene.upstream, scene.load_core, many, TOKENS)
        return {"tokens": TOKENS, "token_bytes": len(issuer.token()),
                "per_token_bytes": (server.resident_bytes() - before) / TOKENS}
