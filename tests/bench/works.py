"""All works, by name."""
import credential
import growth
from contest import Contest, contestant
from latency import Latency
from load import Load
from memory import Memory
from start import Start

# What a proxy says beside the token when it asks about a request.
ASKING = {"X-Forwarded-Method": "GET", "X-Forwarded-Proto": "http",
          "X-Forwarded-Host": "api.example", "X-Forwarded-Uri": "/orders?page=1"}
MANY_TOKENS = 100000
PEERS = ("bearerd", "haproxy", "apache", "nginx")
THAT_CHECK = ("bearerd", "haproxy", "apache")


def peers(name, programs, work, algorithm, tokens, refused=False, cache=True):
    """A contest of the servers at the same work. tokens: called with the issuer, gives the file."""
    return Contest(name, lambda scene: [
        contestant(program, work, algorithm, Load(tokens(scene.issuers[algorithm]), refused=refused),
                   cache=cache)
        for program in programs], ("haproxy", "nginx"))


def same(issuer):
    return issuer.tokens(1)


def many(issuer):
    return issuer.tokens(MANY_TOKENS)


def refused(what):
    return lambda issuer: issuer.tokens(1, what)


def main_works():
    for work in ("answer", "proxy"):
        for algorithm in credential.ALGORITHMS:
            name = f"{work}_{algorithm.lower()}"
            yield peers(f"{name}_same", PEERS, work, algorithm, same)
            yield peers(f"{name}_distinct", THAT_CHECK, work, algorithm, many)
            yield peers(f"{name}_off", THAT_CHECK, work, algorithm, same, cache=False)


def refusing_works():
    for algorithm in credential.ALGORITHMS:
        yield peers(f"refused_expired_{algorithm.lower()}", THAT_CHECK, "answer", algorithm,
                    refused("expired"), refused=True)
    yield peers("refused_signature_rs256", THAT_CHECK, "answer", "RS256", refused("bad signature"),
                refused=True)


def asking(scene):
    """Nobody else decides for another proxy, so that forward_auth is bearerd's alone. It is compared
    with bearerd's own answer, and with its answer to the very same request (answer_same), for a
    request with more headers costs more to read whatever is done with them."""
    tokens = scene.issuers["RS256"].tokens(1)
    return [contestant("bearerd", "forward_auth", "RS256", Load(tokens, "/_auth", ASKING),
                       "forward_auth"),
            contestant("bearerd", "answer", "RS256", Load(tokens), "answer"),
            contestant("bearerd", "answer", "RS256", Load(tokens, "/", ASKING), "answer_same")]


def bearerd_works():
    yield Contest("forward_auth", asking, ("answer", "answer_same"), by_cpu=True)
    yield growth.contest("routes", growth.with_routes, (10, 10000))
    yield growth.contest("issuers", growth.with_issuers, (1, 500))
    yield growth.contest("issuers_uncached", growth.with_issuers, (1, 500), cache=False)


def growing_works():
    yield growth.contest("growth_connections", growth.with_connections, (1, 10, 100, 1000, 10000),
                         seconds=2, reference=100)
    yield growth.contest("growth_routes", growth.with_routes, (1, 10, 100, 1000, 10000))
    yield growth.contest("growth_issuers", growth.with_issuers, (1, 10, 100, 1000, 10000))
    yield growth.contest("growth_tokens", growth.with_tokens,
                         (1, 10, 100, 1000, 10000, 100000, 1000000))


WORKS = {work.name: work for work in [
    *main_works(), *refusing_works(), *bearerd_works(), Latency(), Start(), Memory(),
    *growing_works()]}

# These are enough to see in a minute where one stands.
QUICK = ["answer_rs256_same", "answer_rs256_off", "proxy_rs256_same", "proxy_rs256_off"]
QUICK_SERVERS = ["bearerd", "haproxy", "nginx"]
