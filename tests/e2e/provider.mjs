// A real OpenID provider on loopback: oidc-provider, issuing JWT access tokens by client credentials.
//
// One provider signs with every algorithm; the resource that a token is asked for chooses. Its keys
// can be rotated while it runs, and it can be stopped and started on the same port.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
export const AUDIENCE = 'api';
const SCOPES = 'openid profile email';
const CLIENT = { id: 'machine', secret: 'secret-of-the-test-client-alone' };

function newKey(algorithm) {
  const { privateKey } =
    algorithm === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : algorithm === 'EdDSA' ? generateKeyPairSync('ed25519')
    : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: algorithm };
}

// "urn:test:ES256" or "urn:test:ES256:ttl=2" names the algorithm and the lifetime of a token.
function resourceServer(context, resource) {
  const [, , algorithm, ttl] = resource.split(':');
  return {
    scope: SCOPES,
    audience: AUDIENCE,
    accessTokenFormat: 'jwt',
    accessTokenTTL: ttl ? Number(ttl.slice('ttl='.length)) : 300,
    jwt: { sign: { alg: algorithm } },
  };
}

function newHandler(issuer, keys) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{
      client_id: CLIENT.id,
      client_secret: CLIENT.secret,
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    }],
    scopes: SCOPES.split(' '),
    extraTokenClaims: () => ({ email: 'machine@example.com' }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
    },
  });
  return provider.callback();
}

export class TestProvider {
  #keys = ALGORITHMS.map(newKey);
  #handler;
  #server;
  #port = 0;
  hits = { discovery: 0, jwks: 0 };

  async start() {
    if (this.#server?.listening) return this;
    this.#server = createServer((request, response) => {
      if (request.url.startsWith('/.well-known/')) this.hits.discovery++;
      if (request.url.startsWith('/jwks')) this.hits.jwks++;
      return this.#handler(request, response);
    });
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = this.#server.address().port;
    this.issuer = `http://127.0.0.1:${this.#port}`;
    this.#handler ??= newHandler(this.issuer, this.#keys);
    return this;
  }

  async stop() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  // Sign with new keys from now on. The old ones stay published until dropOldKeys().
  rotate() {
    this.#keys = [...ALGORITHMS.map(newKey), ...this.#keys];
    this.#handler = newHandler(this.issuer, this.#keys);
  }

  dropOldKeys() {
    this.#keys = this.#keys.slice(0, ALGORITHMS.length);
    this.#handler = newHandler(this.issuer, this.#keys);
  }

  async token({ algorithm = 'ES256', scope = SCOPES, ttl } = {}) {
    const response = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: { connection: 'close', authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}` },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        resource: `urn:test:${algorithm}${ttl ? `:ttl=${ttl}` : ''}`,
        scope,
      }),
    });
    const answer = await response.json();
    if (!answer.access_token) throw new Error(`no token: ${JSON.stringify(answer)}`);
    return answer.access_token;
  }
}
