"""The same work by several servers, or by one server in several settings, in interleaved rounds."""
import collections
import contextlib
import statistics
import sys

import load
from proof import prove

# Below this share of its core a server was not the one that everybody waited for, and requests per
# second of processor time say more about it than requests per second.
BUSY = 0.9
# More than bearerd keeps. The others' caches are full within the second of the warm-up.
CACHED_AT_MOST = 100000

# name: of the row; server: called with a scene, makes it; algorithm: of the tokens.
Contestant = collections.namedtuple("Contestant", "name program server algorithm load")


def contestant(program, work, algorithm, what, name=None, cache=True, **values):
    """The program at that work, a folder here; values: those that only its template knows."""
    return Contestant(name or program, program,
                      lambda scene: scene.server(program, work, algorithm, cache, **values),
                      algorithm, what)


class Contest:
    """contestants: called with a scene, gives them; references: names of those that the others are
    compared with; seconds: of one round, instead of what the command line says; by_cpu: compare by
    processor time in any case, for requests a second also tell what else the machine did."""

    kind = "contest"

    def __init__(self, name, contestants, references, seconds=None, by_cpu=False):
        self.name, self.contestants, self.references = name, contestants, references
        self.seconds, self.by_cpu = seconds, by_cpu

    def run(self, scene):
        settings = scene.settings
        rounds = {}
        with contextlib.ExitStack() as stack:
            pairs = []
            for one in self.contestants(scene):
                if not scene.has(one.program):
                    continue
                server = stack.enter_context(one.server(scene))
                prove(server, scene.issuers[one.algorithm], one.load._replace(refused=False))
                warm_up(scene, server, one.load)
                pairs.append((one, server))
                rounds[one.name] = []
            for number in range(settings.rounds):
                for one, server in order_of(pairs, number):
                    measured = load.measure(server, scene.upstream, scene.load_core,
                                            self.seconds or settings.seconds, one.load,
                                            ("random", number + 1))
                    rounds[one.name].append(measured)
                    print(f"{self.name} round {number + 1}: {one.name} "
                          f"{measured['requests_per_second']:.0f}/s, "
                          f"{measured['requests_per_cpu_second']:.0f}/CPU s", file=sys.stderr)
        return self.summarise(rounds) if rounds else None

    def summarise(self, rounds):
        """For each contestant the medians of its figures, its rounds, and its ratios to the references.
        Ratios are of one round, in which the machine was the same for both, and then the median."""
        rows = {name: {**medians(measured), "rounds": measured}
                for name, measured in rounds.items()}
        for name, row in rows.items():
            row["ratios"] = {other: self.compare(rows, name, other) for other in self.references
                             if other in rows and other != name}
        return rows

    def compare(self, rows, name, other):
        idle = min(rows[name]["server_cpu"], rows[other]["server_cpu"]) < BUSY
        by_cpu = self.by_cpu or idle
        figure = "requests_per_cpu_second" if by_cpu else "requests_per_second"
        each = [one[figure] / two[figure]
                for one, two in zip(rows[name]["rounds"], rows[other]["rounds"])]
        return {"ratio": statistics.median(each), "least": min(each), "most": max(each),
                "by_cpu": by_cpu}


def medians(rounds):
    return {figure: statistics.median(one[figure] for one in rounds) for figure in rounds[0]}


def order_of(pairs, number):
    """The pairs of that round. Every other round goes backwards, and each begins with another, so that
    nobody always comes after the same one."""
    turn = number % len(pairs)
    order = pairs[turn:] + pairs[:turn]
    return order[::-1] if number % 2 else order


def warm_up(scene, server, what):
    """A cache that lasts is full when it is measured."""
    to = server, scene.upstream, scene.load_core
    sent = load.measure(*to, scene.settings.warm_up, what)["requests"]
    if server.name == "bearerd":
        load.use_each_token(*to, what, CACHED_AT_MOST, sent)
