"""What all works share: two cores, issuers, an upstream, and servers made from templates."""
import contextlib
import itertools
import os

import credential
from server import Failure, Server

BODY = '{"orders":[{"id":1041,"item":"lamp","count":2,"state":"sent"},' \
       '{"id":1042,"item":"desk","count":1,"state":"paid"}]}'
CONNECTIONS = 1024

APACHE_MODULES = "/usr/lib/apache2/modules"
TEMPLATES = {"bearerd": "bearerd.yaml", "haproxy": "haproxy.cfg", "apache": "apache.conf",
             "nginx": "nginx.conf"}
# nginx is the limit: it does the same work and asks nobody for a token.
CHECKS_NOTHING = ("nginx",)
# How the cache of verified tokens is switched off; HAProxy has none.
NO_CACHE = {"bearerd": "token_cache: {entries: 0}", "apache": "&expiry=0"}


def choose_cores():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failure("two cores are needed: one for the server, one for the load")
    return cores[:2]


class Scene:
    """A context manager. folder is temporary, build is not; settings are those of the command line."""

    def __init__(self, folder, build, settings):
        self.folder, self.settings = folder, settings
        self.server_core, self.load_core = choose_cores()
        self.programs = {"bearerd": build / "bearerd", "haproxy": "haproxy", "apache": "apache2",
                         "nginx": "nginx"}
        self.tools = build / "tests/bench"
        self.issuers = {name: credential.Issuer(name, build / "bench/issuer", self.tools / "mint")
                        for name in credential.ALGORITHMS}
        self.numbers = itertools.count(1)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        body = self.folder / "body.json"
        body.write_text(BODY)
        self.values = {"ISSUER": credential.ISSUER, "AUDIENCE": credential.AUDIENCE,
                       "SCOPE": credential.SCOPE, "BODY": BODY, "BODY_FILE": body,
                       "APACHE_MODULES": APACHE_MODULES, "CONNECTIONS": CONNECTIONS}
        upstream = Server("upstream", "nginx", "answer/nginx.conf", self.load_core,
                          self.folder / "upstream", self.values)
        self.upstream = self.stack.enter_context(upstream)
        self.values["UPSTREAM_PORT"] = self.upstream.port
        return self

    def __exit__(self, *_):
        self.stack.close()

    def has(self, program):
        return program in self.settings.servers

    def server(self, program, work, algorithm, cache=True, **values):
        """A server that does the work, a folder here, for tokens of that algorithm."""
        issuer = self.issuers[algorithm]
        own = {"ALGORITHM": algorithm, "PUBLIC_KEY": issuer.public_key, "JWK": issuer.jwk,
               "JWKS": issuer.jwks, "CACHE": "" if cache else NO_CACHE.get(program, "")}
        return Server(program, self.programs[program], f"{work}/{TEMPLATES[program]}",
                      self.server_core, self.folder / f"{next(self.numbers)}-{work}-{program}",
                      {**self.values, **own, **values})
