"""What was measured: tables for the terminal and for a page, and all of it as JSON."""
import json

from goal import MIB, judge
from table import Table, as_markdown, as_text
from works import WORKS

BY_CPU = "* by requests a second of processor time: not every server used all of its core, as wrk and " \
         "the upstream on the other one, or other processes of this machine, were the limit"
APACHE = "Apache does not look at the exp of a token that is in its cache (answer and proxy, same and " \
         "distinct)"
ALONE = "Ratios are by requests a second of processor time, which other processes of this machine disturb " \
        "less."


def ratio_text(found):
    return f"{found['ratio']:.2f}{'*' if found['by_cpu'] else ''}" if found else "-"


def figures(row):
    return [f"{row['requests_per_second']:.0f}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}",
            f"{row['server_cpu']:.0%}", f"{row['load_cpu']:.0%}",
            f"{row['requests_per_cpu_second']:.0f}", f"{row['cpu_seconds_per_million']:.1f}"]


FIGURES = ["req/s", "p50 ms", "p99 ms", "CPU", "load", "req/CPU s", "CPU s/M"]


def contests(results, peers):
    """Those between servers, or those of bearerd alone."""
    return [(name, rows) for name, rows in results.items()
            if WORKS[name].kind == "contest" and ("haproxy" in WORKS[name].references) == peers]


def peers_table(results):
    rows = [[name, server, *figures(row), *(ratio_text(row["ratios"].get(other))
                                            for other in ("haproxy", "nginx"))]
            for name, servers in contests(results, True) for server, row in servers.items()]
    return Table("Work beside others", ["work", "server", *FIGURES, "to haproxy", "to nginx"], rows,
                 [BY_CPU, APACHE] if any(row[1] == "apache" for row in rows) else [BY_CPU], 2)


def alone_table(results):
    rows = [[name, variant, *figures(row),
             ", ".join(f"{found['ratio']:.2f} to {other}" for other, found in row["ratios"].items())]
            for name, variants in contests(results, False) for variant, row in variants.items()]
    return Table("bearerd beside itself", ["work", "with", *FIGURES, "ratio"], rows, [ALONE], 2)


def latency_table(results):
    rows = [[work, server, str(row["rate"]), *(f"{row[name] / 1000:.2f}" for name in
                                               ("p50_us", "p99_us", "p999_us", "max_us")),
             f"{row['late_p99_us'] / 1000:.2f}"]
            for work, servers in results.get("latency", {}).items()
            for server, row in servers.items()]
    return Table("Latency at a fixed rate, in ms from the moment a request was due",
                 ["work", "server", "req/s", "p50", "p99", "p99.9", "max", "late p99"], rows,
                 ["late: what the client itself adds, when it sends a request after it was due."], 2)


def start_table(results):
    rows = [[server, f"{row['ms']:.1f}", f"{row['least_ms']:.1f}", f"{row['most_ms']:.1f}"]
            for server, row in results.get("start", {}).items()]
    return Table("From start to the first answer, in ms", ["server", "median", "least", "most"], rows)


def kib(count):
    return "-" if count is None else f"{count / 1024:.2f}"


RESTED = "10,000 connections: each was used once and then rested for 10 s."


def memory_table(results):
    rows = [[server, f"{row['idle_bytes'] / MIB:.1f}", f"{row['with_connections_bytes'] / MIB:.1f}",
             kib(row["per_connection_bytes"]), kib(row["per_unused_connection_bytes"]),
             kib(row.get("per_token_bytes"))]
            for server, row in results.get("memory", {}).items()]
    return Table("Resident memory", ["server", "idle MiB", "10,000 connections MiB", "KiB/connection",
                                     "KiB/unused connection", "KiB/cached token"], rows,
                 [RESTED])


def goals_table(goals):
    rows = [[one["what"], one["goal"], f"{one['found']:.2f} {one['unit']}".strip(),
             "met" if one["met"] else "NOT MET"] for one in goals]
    return Table("Goals", ["what", "goal", "found", ""], rows)


def tables(results):
    made = [peers_table(results), alone_table(results), latency_table(results),
            start_table(results), memory_table(results), goals_table(judge(results))]
    return [table for table in made if table.rows]


def print_tables(results):
    print("\n\n".join(map(as_text, tables(results))))


def write_json(path, about, settings, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": about, "settings": settings, "works": results,
                                "goals": judge(results)}, indent=2) + "\n")


INTRODUCTION = """\
# How fast

Written by the command below; `make bench` prints the same tables. The server has one core to itself;
wrk and the upstream share another. Every round measures all servers of a work in turn, and ratios are
medians of ratios within rounds. Each server has one worker, each connection is kept alive. All but
nginx, which is the limit, check signature, iss, aud, exp and scope of the same tokens, and were seen to
refuse a bad signature, an expired token, another issuer, another audience, a missing scope and a
missing token before anything was measured. PROFILE.md, beside this page, tells where the time goes.

- `same`: one token all the time. `distinct`: 100,000 tokens in random order, each server with its
  token cache as it comes (bearerd 65,536 tokens, Apache 1,000). `off`: without that cache; HAProxy has
  none anyway.
- `answer`: the server says a small JSON body itself. `proxy`: it fetches the body from nginx.
- `refused`: every request has a token that must be refused, and is."""


def page(about, settings, command, results):
    versions = "\n".join(f"| {name} | {text} |" for name, text in about["versions"].items())
    machine = f"""\
| | |
|---|---|
| date | {about['date']} |
| machine | {about['processor']}, {about['cores']} cores, {about['memory_mib']} MiB |
| system | {about['system']}, Linux {about['kernel']} |
| load before | {about['load_average_before']:.2f} |
{versions}
| command | `{command}` |
| rounds | {settings['rounds']} of {settings['seconds']} s, {settings['connections']} connections |"""
    return "\n\n".join([INTRODUCTION, machine, *map(as_markdown, tables(results))]) + "\n"
