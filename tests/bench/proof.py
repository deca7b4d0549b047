"""Before anything is measured: the server answers a good token, and none that is not."""
from credential import REFUSED
from scene import BODY, CHECKS_NOTHING

REFUSALS = (400, 401, 403)


def ask(server, path, headers, token):
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    return server.get(path, {**headers, **bearer})


def request(server, token):
    """The bytes of a request with that token, for those that send it themselves."""
    return (f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n").encode()


def prove(server, issuer, load):
    """bearerd says who is calling where it answers by itself, the others say the body."""
    status, body = ask(server, load.path, load.headers, issuer.token())
    if status != 200:
        raise server.failure(f"answers {status} to a good token: {body[:200]}")
    if body != BODY and (server.name != "bearerd" or str(server.template).startswith("proxy/")):
        raise server.failure(f"answers with another body: {body[:200]}")
    if server.name in CHECKS_NOTHING:
        return
    for refused in REFUSED:
        status, body = ask(server, load.path, load.headers, issuer.token(refused))
        if status not in REFUSALS:
            raise server.failure(f"answers {status} to a bad token ({refused}): {body[:200]}")
