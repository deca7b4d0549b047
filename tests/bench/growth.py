"""The long lists of large configurations: routes and issuers, as lines of YAML."""
import credential

# The routes of one service. All want a scope that the token lacks but for ASKED: where that one
# answers, it was found among the others.
SERVICE = ("/v1/status", "/v1/*", "/v1/{id}/items", "/v1/{id}/items/{item}", "/*")
ASKED = "/v1/{id}/items"


def service(number):
    """Four digits always, so that a longer list makes no longer requests."""
    return f"/svc{number:04}"


def routes(count):
    """That many routes; count is a multiple of those that a service has."""
    def route(number, path):
        scope = credential.SCOPE if path == ASKED else "bench:other"
        return f'  - {{path: "{service(number)}{path}", respond: identity, ' \
               f'require: {{scopes: ["{scope}"]}}}}'
    services = range(1, count // len(SERVICE) + 1)
    return "\n".join(route(number, path) for number in services for path in SERVICE)


def asked_path(count):
    """A path for which the route in the middle of that many is there."""
    return service(count // len(SERVICE) // 2) + ASKED.replace("{id}", "1041")


def issuers(count, jwks):
    """That many issuers, all with the same key. The one that made the token is the last."""
    def issuer(name):
        return f'  - {{issuer: "{name}", audiences: ["{credential.AUDIENCE}"], jwks_file: "{jwks}"}}'
    others = [f"{credential.ISSUERS}{number:03}" for number in range(1, count)]
    return "\n".join(issuer(name) for name in [*others, credential.ISSUER])
