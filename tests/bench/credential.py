"""An issuer with one key: its JWK set, its public key, and tokens, good ones and such as must be refused.

Keys and the many tokens are kept from one run to the next, for signing takes time; tokens are good
for a day and made anew after a quarter of one."""
import base64
import hashlib
import json
import os
import subprocess
import time

from server import Failure

ISSUERS = "https://issuer.example/tenant"
ISSUER = f"{ISSUERS}999"
AUDIENCE = "bench"
SCOPE = "bench:read"
KEY_ID = "bench-1"
DAY = 86400

# mint puts the token's number here.
NUMBER = "########"

ALGORITHMS = {
    "RS256": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
              "-pkeyopt", "rsa_keygen_pubexp:65537"),
    "ES256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
}

# What every server that checks tokens must refuse, and how such a token differs from a good one.
# The first characters of a signature are replaced, for the last one has bits that do not count.
REFUSED = {
    "expired": {"exp": -3600},
    "other issuer": {"iss": f"{ISSUERS}998"},
    "other audience": {"aud": "bench2"},
    "missing scope": {"scope": f"openid profile {SCOPE}er"},
    "bad signature": {},
    "no token": {},
}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def claims(changes):
    now = int(time.time())
    wanted = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"user{NUMBER}",
              "email": f"user{NUMBER}@example.com", "scope": f"openid profile {SCOPE}",
              "client_id": "bench", "jti": f"bench-{NUMBER}", "iat": now, "exp": DAY, **changes}
    wanted["exp"] += now
    return wanted


class Issuer:
    """folder is kept between runs."""

    def __init__(self, algorithm, folder, mint):
        self.algorithm, self.folder, self.mint = algorithm, folder, mint
        folder.mkdir(parents=True, exist_ok=True)
        self.key = folder / f"{algorithm}.pem"
        self.public_key = folder / f"{algorithm}.public.pem"
        self.jwks = folder / f"{algorithm}.jwks.json"
        if not self.key.exists():
            self.make_key()
        self.public_key.write_bytes(openssl("pkey", "-in", self.key, "-pubout"))
        self.jwk = json.dumps(self.make_jwk(), separators=(",", ":"))
        self.jwks.write_text(f'{{"keys":[{self.jwk}]}}')

    def make_key(self):
        half = self.key.with_suffix(".new")
        openssl("genpkey", *ALGORITHMS[self.algorithm], "-out", half)
        half.rename(self.key)

    def make_jwk(self):
        jwk = {"kid": KEY_ID, "use": "sig", "alg": self.algorithm}
        if self.algorithm == "RS256":
            modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip()
            n = bytes.fromhex(modulus.removeprefix("Modulus="))
            return {"kty": "RSA", **jwk, "n": base64url(n), "e": "AQAB"}
        point = openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")[-64:]
        return {"kty": "EC", **jwk, "crv": "P-256", "x": base64url(point[:32]),
                "y": base64url(point[32:])}

    def sign(self, count, changes):
        """Lines of tokens whose claims are as those of a good one, but for the changes."""
        header = json.dumps({"alg": self.algorithm, "typ": "at+jwt", "kid": KEY_ID},
                            separators=(",", ":"))
        done = subprocess.run([self.mint, self.key, self.algorithm, str(count), header,
                               json.dumps(claims(changes), separators=(",", ":"))],
                              stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Failure("tokens cannot be made")
        return done.stdout

    def tokens(self, count, refused=None):
        """The path of a file of that many tokens, one a line; refused: a key of REFUSED."""
        changes = REFUSED[refused] if refused else {}
        what = [self.algorithm, self.key.read_text(), {**claims({}), "iat": 0, "exp": 0}, changes]
        name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
        path = self.folder / f"{self.algorithm}-{(refused or 'good').replace(' ', '-')}-{count}-{name}"
        if path.exists() and time.time() - path.stat().st_mtime < DAY / 4:
            return path
        lines = self.sign(count, changes)
        if refused == "bad signature":
            lines = b"".join(spoil(line) for line in lines.splitlines(keepends=True))
        half = path.with_suffix(".new")
        half.write_bytes(lines)
        os.replace(half, path)
        return path

    def token(self, refused=None):
        """A token, or None where the client is to send none."""
        return None if refused == "no token" else self.tokens(1, refused).read_text().strip()


def spoil(token):
    head, _, signature = token.rpartition(b".")
    return head + b".AAAAAAAA" + signature[8:]
