"""What bearerd is to reach, and whether it did in this run."""
import collections

MIB = 1048576

# what: in words; at_least or at_most; find: gives the figure in the results, or None.
Goal = collections.namedtuple("Goal", "what bound limit unit find")


def ratio(work, other, limit):
    def find(results):
        row = results.get(work, {}).get("bearerd", {})
        found = row.get("ratios", {}).get(other)
        return found and found["ratio"]
    return Goal(f"{work}: requests, to {other}", "at least", limit, "", find)


def latency(work):
    def find(results):
        rows = results.get("latency", {}).get(work, {})
        if not {"bearerd", "haproxy"} <= set(rows):
            return None
        return rows["bearerd"]["p99_us"] / rows["haproxy"]["p99_us"]
    return Goal(f"{work}: p99 at the same rate, to haproxy", "at most", 1.0, "", find)


def figure(what, work, name, limit, unit, scale):
    def find(results):
        found = results.get(work, {}).get("bearerd", {}).get(name)
        return None if found is None else found / scale
    return Goal(what, "at most", limit, unit, find)


GOALS = [
    ratio("answer_rs256_same", "haproxy", 3.0), ratio("answer_es256_same", "haproxy", 6.0),
    ratio("answer_rs256_same", "nginx", 0.90), ratio("answer_es256_same", "nginx", 0.90),
    ratio("answer_rs256_off", "haproxy", 1.3), ratio("answer_es256_off", "haproxy", 1.1),
    ratio("proxy_rs256_same", "haproxy", 2.0), ratio("proxy_es256_same", "haproxy", 3.2),
    ratio("proxy_rs256_same", "nginx", 0.88), ratio("proxy_es256_same", "nginx", 0.88),
    ratio("proxy_rs256_off", "haproxy", 1.3), ratio("proxy_es256_off", "haproxy", 1.1),
    ratio("refused_expired_rs256", "haproxy", 1.5), ratio("refused_expired_es256", "haproxy", 1.5),
    latency("answer"), latency("proxy"),
    figure("resident memory, idle", "memory", "idle_bytes", 8, "MiB", MIB),
    figure("resident memory with 10,000 idle connections", "memory", "with_connections_bytes", 120,
           "MiB", MIB),
    figure("from start to the first answer", "start", "ms", 50, "ms", 1),
]


def judge(results):
    """Those goals whose works were measured."""
    judged = []
    for goal in GOALS:
        found = goal.find(results)
        if found is None:
            continue
        met = found >= goal.limit if goal.bound == "at least" else found <= goal.limit
        judged.append({"what": goal.what, "goal": f"{goal.bound} {goal.limit:g} {goal.unit}".strip(),
                       "found": found, "unit": goal.unit, "met": met})
    return judged
