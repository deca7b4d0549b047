"""wrk: as many requests as one server answers, one after the other on many connections."""
import collections
import json
import os
import subprocess

from server import HERE, Failure, find_program, on_core

CONNECTIONS = 64
ERRORS = ("connect", "read", "write", "status", "timeout")


# Headers: those beside the token.
Request = collections.namedtuple("Request", "path headers")


def run_wrk(port, core, seconds, token, request):
    """What wrk.lua prints, and the processor time that wrk took."""
    command = [find_program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", HERE / "wrk.lua",
               "-H", f"Authorization: Bearer {token}"]
    for name, value in request.headers.items():
        command += ["-H", f"{name}: {value}"]
    command.append(f"http://127.0.0.1:{port}{request.path}")
    before = os.times()
    done = subprocess.run(on_core(core, command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds + 30)
    after = os.times()
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise Failure(f"wrk failed:\n{done.stdout}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(lines[-1]), cpu


def measure(server, upstream, core, seconds, token, request):
    """One round. Every request has to be answered, and well, or it is no round at all."""
    server_before, upstream_before = server.cpu_seconds(), upstream.cpu_seconds()
    counted, wrk_cpu = run_wrk(server.port, core, seconds, token, request)
    server_cpu = server.cpu_seconds() - server_before
    upstream_cpu = upstream.cpu_seconds() - upstream_before

    errors = {kind: counted[kind] for kind in ERRORS if counted[kind]}
    if errors or counted["requests"] == 0:
        raise server.failure(f"answered {counted['requests']} requests, with errors: {errors}")
    taken = counted["duration_us"] / 1e6
    return {
        "requests_per_second": counted["requests"] / taken,
        "p50_ms": counted["p50_us"] / 1000,
        "p99_ms": counted["p99_us"] / 1000,
        "server_cpu": server_cpu / taken,
        "load_cpu": (wrk_cpu + upstream_cpu) / taken,
        "requests_per_cpu_second": counted["requests"] / max(server_cpu, 1e-6),
    }
