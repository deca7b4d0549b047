"""wrk: as many requests as one server answers, one after the other on many connections."""
import collections
import json
import os
import subprocess

from server import HERE, Failure, bound_to, find_program

CONNECTIONS = 64
# Filling a cache must end at some time, however slow the server.
FILLING_SECONDS = 60
ERRORS = ("connect", "read", "write", "status", "timeout")

# What wrk asks for. headers: those beside the token; tokens: a file of them; refused: whether every
# single request is to be refused, else every one is to be answered with 200.
Load = collections.namedtuple("Load", "tokens path headers refused connections",
                              defaults=("/", {}, False, CONNECTIONS))


def run_wrk(port, core, seconds, load, order):
    """What wrk.lua prints, and the processor time that wrk took."""
    command = [find_program("wrk"), "-t1", f"-c{load.connections}", f"-d{seconds}s",
               "--timeout", "10s", "-s", HERE / "wrk.lua"]
    for name, value in load.headers.items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{port}{load.path}", "--", load.tokens, *order]
    before = os.times()
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds + 60,
                          preexec_fn=bound_to(core))
    after = os.times()
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise Failure(f"wrk failed:\n{done.stdout}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(lines[-1]), cpu


def check(server, counted, load):
    """Every request has to be answered, and as it should be, or it is no round at all."""
    errors = {kind: counted[kind] for kind in ERRORS if counted[kind]}
    refused = errors.pop("status", 0)
    wanted = counted["requests"] if load.refused else 0
    if errors or counted["requests"] == 0 or refused != wanted:
        raise server.failure(f"answered {counted['requests']} requests and refused {refused} of "
                             f"them, {wanted} were to be refused; errors: {errors}")


def measure(server, upstream, core, seconds, load, order=("turn", 0)):
    """One round. order: of the tokens, as wrk.lua knows it."""
    server_before, upstream_before = server.cpu_seconds(), upstream.cpu_seconds()
    counted, wrk_cpu = run_wrk(server.port, core, seconds, load, order)
    server_cpu = server.cpu_seconds() - server_before
    upstream_cpu = upstream.cpu_seconds() - upstream_before
    check(server, counted, load)
    taken = counted["duration_us"] / 1e6
    per_cpu_second = counted["requests"] / max(server_cpu, 1e-6)
    return {
        "requests": counted["requests"],
        "requests_per_second": counted["requests"] / taken,
        "p50_ms": counted["p50_us"] / 1000,
        "p99_ms": counted["p99_us"] / 1000,
        "server_cpu": server_cpu / taken,
        "load_cpu": (wrk_cpu + upstream_cpu) / taken,
        "requests_per_cpu_second": per_cpu_second,
        "cpu_seconds_per_million": 1e6 / per_cpu_second,
    }


def use_each_token(server, upstream, core, load, most, sent=0):
    """One after the other, the first ones up to most: so are caches filled. sent: those that were
    used before."""
    with open(load.tokens, "rb") as tokens:
        length = len(tokens.readline())
        count = min(tokens.seek(0, os.SEEK_END) // length, most)
    seconds = 0
    while sent < count:
        if seconds == FILLING_SECONDS:
            raise server.failure(f"answered {sent} requests in {seconds} seconds")
        sent += measure(server, upstream, core, 1, load, ("turn", sent))["requests"]
        seconds += 1
