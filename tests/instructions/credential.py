"""Keys of an issuer as a JWK set in a file, and tokens signed by them, by openssl."""
import base64
import json
import subprocess
import time

ISSUER = "https://issuer.example"
AUDIENCE = "orders-api"
SCOPE = "orders:read"
HOUR = 3600

GENERATE = {"RS256": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "ES256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encode(value):
    return base64url(json.dumps(value, separators=(",", ":")).encode())


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def take_integer(der, at):
    """An INTEGER of less than 128 bytes, and where the next element begins."""
    end = at + 2 + der[at + 1]
    return int.from_bytes(der[at + 2:end], "big"), end


class Issuer:
    """Its files are in folder: `jwks` for the daemon, and the private keys."""

    def __init__(self, folder):
        self.folder = folder
        for algorithm in GENERATE:
            openssl("genpkey", *GENERATE[algorithm], "-out", self.key(algorithm))
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": [self.rsa_jwk(), self.ec_jwk()]}))

    def key(self, algorithm):
        return self.folder / f"{algorithm}.pem"

    def rsa_jwk(self):
        said = openssl("rsa", "-in", self.key("RS256"), "-noout", "-modulus").decode().strip()
        modulus = bytes.fromhex(said.removeprefix("Modulus="))
        return {"kty": "RSA", "kid": "RS256", "alg": "RS256", "use": "sig",
                "n": base64url(modulus), "e": "AQAB"}

    def ec_jwk(self):
        """The public key ends with the two coordinates of its point."""
        public = openssl("pkey", "-in", self.key("ES256"), "-pubout", "-outform", "DER")
        return {"kty": "EC", "kid": "ES256", "alg": "ES256", "use": "sig", "crv": "P-256",
                "x": base64url(public[-64:-32]), "y": base64url(public[-32:])}

    def sign(self, algorithm, data):
        signature = openssl("dgst", "-sha256", "-sign", self.key(algorithm), data=data)
        if algorithm == "RS256":
            return signature
        r, at = take_integer(signature, 2)
        s, _ = take_integer(signature, at)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def token(self, algorithm="RS256", age=0):
        """Good for an hour, beginning age seconds ago."""
        issued = int(time.time()) - age
        header = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm}
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "email": "alice@example.com",
                  "scope": f"openid profile {SCOPE}", "client_id": "shop", "jti": "1041",
                  "iat": issued, "exp": issued + HOUR}
        signed = f"{encode(header)}.{encode(claims)}"
        return f"{signed}.{base64url(self.sign(algorithm, signed.encode()))}"


def spoil(token):
    """The token with another signature, of the same length."""
    at = len(token) - 100
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]
