"""An issuer's RSA key as a JWK set in a file, and one token that is good for a day, by openssl."""
import base64
import json
import subprocess
import time

ISSUERS = "https://issuer.example/tenant"
ISSUER = f"{ISSUERS}999"
AUDIENCE = "bench"
SCOPE = "bench:read"
KEY_ID = "bench-1"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encode(value):
    return base64url(json.dumps(value, separators=(",", ":")).encode())


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def make_key(path):
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
            "-pkeyopt", "rsa_keygen_pubexp:65537", "-out", str(path))


def make_jwks(key):
    modulus = openssl("rsa", "-in", str(key), "-noout", "-modulus").decode().strip()
    n = bytes.fromhex(modulus.removeprefix("Modulus="))
    return json.dumps({"keys": [{"kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "RS256",
                                 "n": base64url(n), "e": "AQAB"}]})


def make_token(key):
    now = int(time.time())
    header = {"alg": "RS256", "typ": "at+jwt", "kid": KEY_ID}
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "email": "alice@example.com",
              "scope": f"openid profile {SCOPE}", "client_id": "bench", "jti": "bench-1",
              "iat": now, "exp": now + 86400}
    signed = f"{encode(header)}.{encode(claims)}"
    return f"{signed}.{base64url(openssl('dgst', '-sha256', '-sign', str(key), data=signed.encode()))}"


def make(folder):
    """The path of the JWK set, and the token."""
    key, jwks = folder / "issuer.pem", folder / "jwks.json"
    make_key(key)
    jwks.write_text(make_jwks(key))
    return jwks, make_token(key)
