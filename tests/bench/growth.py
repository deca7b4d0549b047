"""The same work for bearerd with more and more of one thing: routes, issuers, connections, tokens."""
import credential
from contest import Contest, contestant
from load import Load

# The routes of one service. All want a scope that the token lacks but for ASKED: where that one
# answers, it was found among the others.
SERVICE = ("/v1/{id}/items", "/v1/status", "/v1/*", "/v1/{id}/items/{item}", "/*")
ASKED = SERVICE[0]
MOST_CONNECTIONS = 12000
# Routes and issuers are many in the configuration; what they cost is seen with any algorithm.
ALGORITHM = "RS256"
# Signing is quick with this one.
ALGORITHM_OF_MANY_TOKENS = "ES256"


def service(number):
    """Four digits always, so that a longer list makes no longer requests."""
    return f"/svc{number:04}"


def routes(count):
    """That many routes as lines of YAML."""
    def route(number):
        path = SERVICE[number % len(SERVICE)]
        scope = credential.SCOPE if path == ASKED else "bench:other"
        return f'  - {{path: "{service(number // len(SERVICE))}{path}", respond: identity, ' \
               f'require: {{scopes: ["{scope}"]}}}}'
    return "\n".join(map(route, range(count)))


def asked_path(count):
    """A path for which the route in the middle of that many is there."""
    return service((count - 1) // len(SERVICE) // 2) + ASKED.replace("{id}", "1041")


def issuers(count, jwks):
    """That many issuers, all with the same key. The one that made the token is the last."""
    def issuer(name):
        return f'  - {{issuer: "{name}", audiences: ["{credential.AUDIENCE}"], jwks_file: "{jwks}"}}'
    others = [f"{credential.ISSUERS}-{number:05}" for number in range(1, count)]
    return "\n".join(issuer(name) for name in [*others, credential.ISSUER])


def with_routes(scene, count, _):
    load = Load(scene.issuers[ALGORITHM].tokens(1), asked_path(count))
    return contestant("bearerd", "routes", ALGORITHM, load, str(count), ROUTES=routes(count))


def with_issuers(scene, count, cache):
    issuer = scene.issuers[ALGORITHM]
    return contestant("bearerd", "issuers", ALGORITHM, Load(issuer.tokens(1)), str(count), cache,
                      ISSUERS=issuers(count, issuer.jwks))


def with_connections(scene, count, _):
    load = Load(scene.issuers[ALGORITHM].tokens(1), connections=count)
    return contestant("bearerd", "answer", ALGORITHM, load, str(count),
                      CONNECTIONS=MOST_CONNECTIONS)


def with_tokens(scene, count, _):
    load = Load(scene.issuers[ALGORITHM_OF_MANY_TOKENS].tokens(count))
    return contestant("bearerd", "answer", ALGORITHM_OF_MANY_TOKENS, load, str(count))


def contest(name, make, counts, cache=True, seconds=1, reference=None):
    """Between the counts, named by them; all are compared with the reference, or else the first."""
    return Contest(name, lambda scene: [make(scene, count, cache) for count in counts],
                   (str(reference or counts[0]),), seconds, by_cpu=True)
