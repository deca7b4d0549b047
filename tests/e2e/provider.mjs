// A real OpenID provider on loopback: oidc-provider, issuing JWT access tokens by client credentials
// and by the code flow, where login.mjs plays the user.
//
// One provider signs with several algorithms; the resource that a token is asked for chooses. Its
// keys can be rotated while it runs, and it can be stopped and started on the same port.
import { createServer } from 'node:http';
import { createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import Provider from 'oidc-provider';
import { answerPage, interactions, isPage } from './login.mjs';

export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
export const AUDIENCE = 'api';
export const CLIENT = { id: 'machine', secret: 'secret-of-the-test-client-alone' };
const SCOPES = 'openid profile email';

// --- keys -----------------------------------------------------------------------------------------

// The pair is made as JWKs at once: to export a key object later can deadlock in Node.js 20, when the
// garbage collector ends the job that made it in the midst of the export.
const JWK = { publicKeyEncoding: { format: 'jwk' }, privateKeyEncoding: { format: 'jwk' } };

export function newKey(algorithm) {
  const { privateKey } =
    algorithm === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256', ...JWK })
    : algorithm === 'EdDSA' ? generateKeyPairSync('ed25519', JWK)
    : generateKeyPairSync('rsa', { modulusLength: 2048, ...JWK });
  return { ...privateKey, kid: randomUUID(), use: 'sig', alg: algorithm };
}

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// A token with exactly this header and these claims; jwk signs RS256, ES256 or EdDSA.
export function signWith(jwk, header, claims) {
  const input = `${base64url(header)}.${base64url(claims)}`;
  const key = { key: createPrivateKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
  const signature = sign(jwk.alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), key);
  return `${input}.${signature.toString('base64url')}`;
}

const part = (token, index) => JSON.parse(Buffer.from(token.split('.')[index], 'base64url'));
export const headerOf = (token) => part(token, 0);
export const claimsOf = (token) => part(token, 1);

// --- the provider's configuration -----------------------------------------------------------------

// "urn:test:ES256" names the algorithm; a URL is signed for with the first one, and its audience is
// the URL. "?ttl=2&audience=x" behind either chooses lifetime and audience.
function resourceServer(resource, { algorithms, scopes }) {
  const { searchParams: query } = new URL(resource);
  const [plain] = resource.split('?');
  const algorithm = plain.startsWith('urn:test:') ? plain.slice('urn:test:'.length) : undefined;
  return {
    scope: scopes,
    audience: query.get('audience') ?? (algorithm ? AUDIENCE : plain),
    accessTokenFormat: 'jwt',
    accessTokenTTL: Number(query.get('ttl') ?? 300),
    jwt: { sign: { alg: algorithm ?? algorithms[0] } },
  };
}

// How the user logged in, of a token that comes of a login (RFC 9470 section 6.2).
function loginClaims({ oidc }) {
  const code = oidc.entities.AuthorizationCode;
  return code ? { acr: code.acr, auth_time: code.authTime } : {};
}

function newProvider(issuer, keys, options) {
  const { algorithms, scopes, claims, clients, registration } = options;
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{
      client_id: CLIENT.id,
      client_secret: CLIENT.secret,
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      id_token_signed_response_alg: algorithms[0],
    }, ...clients],
    cookies: { keys: ['of the test alone'] },
    scopes: scopes.split(' '),
    findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions,
    pkce: { required: () => true },
    extraTokenClaims: (context) => ({ ...claims, ...loginClaims(context) }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      registration: { enabled: registration },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (context, resource) => resourceServer(resource, options),
        useGrantedResource: () => true,
      },
    },
  });
  return provider;
}

// --- and the provider -----------------------------------------------------------------------------

export class TestProvider {
  #options;
  #keys;
  #provider;
  #handler;
  #server;
  #port = 0;
  hits = { discovery: 0, jwks: 0 };
  // How the user logs in, for the parameters of an authorization request; see login.mjs.
  person = () => ({});

  // claims: more claims of every access token. clients: besides the one for client credentials.
  // registration: whether clients may register themselves.
  constructor({ algorithms = ALGORITHMS, scopes = SCOPES, claims = { email: 'machine@example.com' },
    clients = [], registration = false } = {}) {
    this.#options = { algorithms, scopes, claims, clients, registration };
    this.#keys = this.#newKeys();
  }

  #newKeys() {
    return this.#options.algorithms.map(newKey);
  }

  #renew() {
    this.#provider = newProvider(this.issuer, this.#keys, this.#options);
    this.#handler = this.#provider.callback();
  }

  async start() {
    if (this.#server?.listening) return this;
    this.#server = createServer((request, response) => {
      if (request.url.startsWith('/.well-known/')) this.hits.discovery++;
      if (request.url.startsWith('/jwks')) this.hits.jwks++;
      if (!isPage(request)) return this.#handler(request, response);
      return answerPage(this.#provider, this.person, request, response)
        .catch((error) => response.writeHead(500).end(String(error.stack)));
    });
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = this.#server.address().port;
    this.issuer = `http://127.0.0.1:${this.#port}`;
    if (!this.#handler) this.#renew();
    return this;
  }

  async stop() {
    if (!this.#server?.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  // Sign with new keys from now on. The old ones stay published until dropOldKeys().
  rotate() {
    this.#keys = [...this.#newKeys(), ...this.#keys];
    this.#renew();
  }

  dropOldKeys() {
    this.#keys = this.#keys.slice(0, this.#options.algorithms.length);
    this.#renew();
  }

  // The newest one, private part and all.
  key(algorithm = this.#options.algorithms[0]) {
    return this.#keys.find((key) => key.alg === algorithm);
  }

  // resource: instead of algorithm.
  async token({ algorithm = 'ES256', scope = SCOPES, resource = `urn:test:${algorithm}`, ttl,
    audience } = {}) {
    const query = new URLSearchParams({ ...(ttl && { ttl }), ...(audience && { audience }) });
    const response = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: { connection: 'close', authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}` },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        resource: query.size ? `${resource}?${query}` : resource,
        scope,
      }),
    });
    const answer = await response.json();
    if (!answer.access_token) throw new Error(`no token: ${JSON.stringify(answer)}`);
    return answer.access_token;
  }

  // What the provider never said, signed by it all the same. undefined takes a claim or field away.
  forge(claims, header = {}, key = this.key()) {
    const now = Math.floor(Date.now() / 1000);
    return signWith(key, { alg: key.alg, typ: 'at+jwt', kid: key.kid, ...header }, {
      iss: this.issuer, aud: AUDIENCE, sub: CLIENT.id, client_id: CLIENT.id, jti: randomUUID(),
      iat: now, exp: now + 300, ...claims,
    });
  }
}
