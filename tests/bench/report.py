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


# Work, the work it is compared with, and what the two are called; all of them bearerd's.
# What it costs to be asked about a request instead of getting it:
ASKED = (("forward_auth", "answer", "forward_auth to answer"),
         ("forward_auth", "answer_same", "forward_auth to answer to the same request"))
# What it costs to have much in the configuration:
GROWN = (("routes_10000", "routes_10", "10,000 routes to 10"),
         ("issuers_500", "issuers_1", "500 issuers to 1"),
         ("issuers_500_uncached", "issuers_1_uncached", "500 issuers to 1, no token cached"))
# A large configuration may cost a tenth of the throughput.
GROWN_ENOUGH = 0.9


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
    widest = max(map(len, works))
    row = f"{{:<{widest}}} " + "{:<8} {:>9} {:>8} {:>8} {:>6} {:>6} {:>9} {:>9} {:>10}"
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


def compare(works):
    """The ratios, each of one round, in which the machine was the same for both, and their medians."""
    comparisons = {}
    for work, other, _ in ASKED + GROWN:
        pair = [works.get(name, {}).get("bearerd") for name in (work, other)]
        if not all(pair):
            continue
        comparisons[f"{work}/{other}"] = summarise([
            {figure: one[figure] / two[figure]
             for figure in ("requests_per_second", "requests_per_cpu_second")}
            for one, two in zip(*(figures["rounds"] for figures in pair))])
    return comparisons


def print_asked(comparisons):
    for work, other, name in ASKED:
        found = comparisons.get(f"{work}/{other}")
        if found:
            print(f"bearerd, {name}: {found['requests_per_second']:.2f} req/s, "
                  f"{found['requests_per_cpu_second']:.2f} req/CPU s")


def print_grown(comparisons):
    """By processor time: requests a second also tell what else the machine did meanwhile."""
    some = False
    for work, other, name in GROWN:
        found = comparisons.get(f"{work}/{other}")
        if not found:
            continue
        some = True
        ratio_found = found["requests_per_cpu_second"]
        by_round = [one["requests_per_cpu_second"] for one in found["rounds"]]
        verdict = "within 10 %" if ratio_found >= GROWN_ENOUGH else "MORE THAN 10 % less"
        print(f"bearerd, {name}: {ratio_found:.2f} req/CPU s, {verdict} "
              f"(rounds: {min(by_round):.2f} to {max(by_round):.2f})")
    if some:
        print("  by req/CPU s and not by req/s, which other processes of this machine disturb more")


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


def write_json(path, about, settings, works, comparisons):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": about, "settings": settings, "works": works,
                                "comparisons": comparisons}, indent=2) + "\n")
