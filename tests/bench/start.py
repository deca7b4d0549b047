"""How long a server takes from its start to its first good answer, with the keys on disk."""
import statistics
import sys
import time

from proof import ask

ALGORITHM = "RS256"
TIMES = 4  # for each round


class Start:
    name, kind = "start", "start"

    def run(self, scene):
        programs = [name for name in ("bearerd", "haproxy", "apache", "nginx") if scene.has(name)]
        taken = {name: [] for name in programs}
        for number in range(scene.settings.rounds * TIMES):
            for name in programs[::-1] if number % 2 else programs:
                taken[name].append(start_once(scene, name))
        for name, each in taken.items():
            print(f"start: {name} {statistics.median(each):.1f} ms", file=sys.stderr)
        return {name: {"ms": statistics.median(each), "least_ms": min(each), "most_ms": max(each),
                       "times": len(each)} for name, each in taken.items()}


def start_once(scene, name):
    """Milliseconds; the clock starts when the child turns into the program."""
    token = scene.issuers[ALGORITHM].token()
    with scene.server(name, "answer", ALGORITHM) as server:
        while True:
            status, _ = ask(server, "/", {}, token)
            answered = time.monotonic_ns()
            if status == 200:
                return (answered - server.started_ns) / 1e6
            if answered - server.started_ns > 10e9:
                raise server.failure("does not answer a good token")
