"""What was measured: medians and ratios, as a table and as JSON."""
import json
import os
import pathlib
import platform
import statistics
import subprocess

from server import find_program

# Below this share of its core a server was not the one that everybody waited for, and requests per
# second of processor time say more about it than requests per second.
BUSY = 0.9


def summarise(rounds):
    """The median of each figure over the rounds, and the rounds themselves."""
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return {**medians, "rounds": rounds}


def ratios(servers, own, figure):
    return {other: own[figure] / servers[other][figure]
            for other in ("nginx", "haproxy") if other in servers}


def add_ratios(servers):
    for own in servers.values():
        own["ratio_to"] = ratios(servers, own, "requests_per_second")
        own["cpu_ratio_to"] = ratios(servers, own, "requests_per_cpu_second")


def ratio(figures, other):
    return f"{figures['ratio_to'][other]:.2f}" if other in figures["ratio_to"] else "-"


def print_table(works):
    row = "{:<12} {:<8} {:>9} {:>8} {:>8} {:>6} {:>6} {:>9} {:>9} {:>10}"
    print(row.format("work", "server", "req/s", "p50 ms", "p99 ms", "CPU", "load", "req/CPU s",
                     "to nginx", "to HAProxy"))
    waited = False
    for work, servers in works.items():
        for name, figures in servers.items():
            idle = figures["server_cpu"] < BUSY
            waited |= idle
            print(row.format(work, name, f"{figures['requests_per_second']:.0f}",
                             f"{figures['p50_ms']:.2f}", f"{figures['p99_ms']:.2f}",
                             f"{figures['server_cpu']:.0%}" + ("*" if idle else ""),
                             f"{figures['load_cpu']:.0%}",
                             f"{figures['requests_per_cpu_second']:.0f}",
                             ratio(figures, "nginx"), ratio(figures, "haproxy")))
    if waited:
        print("* did not use all of its core: wrk and the upstream on the other one were the limit, or "
              "other\n  processes of this machine; compare req/CPU s")


def ratio_by_round(one, other, figure):
    """The median of the ratios, each of one round, in which the machine was the same for both."""
    return statistics.median(a[figure] / b[figure] for a, b in zip(one["rounds"], other["rounds"]))


def print_forward_auth(works):
    """What it costs to be asked about a request instead of getting it."""
    asked = works.get("forward_auth", {}).get("bearerd")
    for work, name in (("answer", "answer"), ("answer_same", "answer to the same request")):
        own = works.get(work, {}).get("bearerd")
        if not asked or not own:
            continue
        figures = [ratio_by_round(asked, own, figure) for figure in ("requests_per_second",
                                                                     "requests_per_cpu_second")]
        print("bearerd, forward_auth to {}: {:.2f} req/s, {:.2f} req/CPU s".format(name, *figures))


def version(name, program):
    option = "--version" if name == "bearerd" else "-v"
    done = subprocess.run([find_program(program), option], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return (done.stdout.strip().splitlines() or [""])[0]


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine(programs):
    return {"processor": processor(), "kernel": platform.release(),
            "load_average_before": os.getloadavg()[0],
            "versions": {name: version(name, program) for name, program in programs.items()}}


def write_json(path, about, settings, works):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": about, "settings": settings, "works": works}, indent=2)
                    + "\n")
