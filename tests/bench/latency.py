"""How long a request takes when requests come at a rate that every server can bear, by pace."""
import contextlib
import json
import statistics
import subprocess
import sys

import load
from load import Load
from proof import prove, request
from server import bound_to

SERVERS = ("bearerd", "haproxy", "nginx")
WORKS = ("answer", "proxy")
ALGORITHM = "RS256"
# Of what the slower one of those that check tokens can do at most.
SHARE = 0.6
FIGURES = ("p50_us", "p99_us", "p999_us", "max_us", "late_p99_us")


class Latency:
    name, kind = "latency", "latency"

    def run(self, scene):
        return {work: found for work in WORKS if (found := run_work(scene, work))}


def run_work(scene, work):
    issuer = scene.issuers[ALGORITHM]
    what = Load(issuer.tokens(1))
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(scene.server(program, work, ALGORITHM))
                   for program in SERVERS if scene.has(program)]
        for server in servers:
            prove(server, issuer, what)
        rate = bearable_rate(scene, servers, what)
        rounds = {server: [] for server in servers}
        for number in range(scene.settings.rounds):
            for server in servers[::-1] if number % 2 else servers:
                rounds[server].append(pace(scene, server, rate, issuer.token()))
                print(f"latency {work} round {number + 1}: {server.name} at {rate}/s: p99 "
                      f"{rounds[server][-1]['p99_us']:.0f} us", file=sys.stderr)
    return {server.name: {"rate": rate, "rounds": measured,
                          **{figure: statistics.median(one[figure] for one in measured)
                             for figure in FIGURES}}
            for server, measured in rounds.items()}


def bearable_rate(scene, servers, what):
    """Requests a second; also warms the servers up."""
    most = [load.measure(server, scene.upstream, scene.load_core, 1, what)["requests_per_second"]
            for server in servers]
    return int(min(most) * SHARE)


def pace(scene, server, rate, token):
    file = server.folder / "request"
    file.write_bytes(request(server, token))
    command = [scene.tools / "pace", server.port, rate, scene.settings.seconds + 2,
               load.CONNECTIONS, file]
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          preexec_fn=bound_to(scene.load_core))
    if done.returncode != 0:
        raise server.failure(f"did not keep pace: {done.stderr.strip()}")
    return json.loads(done.stdout)
