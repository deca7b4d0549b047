// Two tenants with a provider each, which differ in all that can be configured. Every token carries
// the other tenant's claims as decoys.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bearerd, eventually, freePort } from './bearerd.mjs';
import { headerOf, newKey, signWith, claimsOf, TestProvider } from './provider.mjs';

const LIMIT = { timeout: 60_000 };

let north, south, daemon, absent;

// What a token of each says of its user, and what it would say if it were the other's.
const NORTH = { email: 'nora@north.example', preferred_username: 'decoy-of-north', tenant: 'north',
  permissions: ['orders:write', 'orders:admin'] };
const SOUTH = { preferred_username: 'sam', email: 'decoy@south.example', tenant: 'south',
  permissions: ['orders:read'] };

// Scopes of the north are in scope, those of the south in permissions.
const northToken = (options) =>
  north.token({ algorithm: 'RS256', audience: 'north-api', scope: 'orders:read', ...options });
const southToken = (options) =>
  south.token({ algorithm: 'EdDSA', audience: 'south-api', scope: 'orders:write', ...options });
const northForged = (claims, ...rest) =>
  north.forge({ aud: 'north-api', scope: 'orders:read', ...NORTH, ...claims }, ...rest);
const southForged = (claims, ...rest) =>
  south.forge({ aud: 'south-api', scope: 'orders:write', ...SOUTH, ...claims }, ...rest);

function settings() {
  const any = { refresh_cooldown: '1s', leeway: '0s' };
  return {
    issuers: [
      { ...any, issuer: north.issuer, audiences: ['north-api'], algorithms: ['RS256'],
        user_claims: ['email'], scope_claims: ['scope'] },
      { ...any, issuer: south.issuer, audiences: ['south-api'], algorithms: ['EdDSA'],
        user_claims: ['preferred_username'], scope_claims: ['permissions'] },
      { ...any, issuer: absent, audiences: ['absent-api'] },
    ],
    routes: [
      { path: '/profile/', respond: 'profile' },
      { path: '/read/*', respond: 'identity', require: { scopes: ['orders:read'] } },
      { path: '/write/*', respond: 'identity', require: { scopes: ['orders:write'] } },
      { path: '/own/*', hosts: ['north.example'], respond: 'identity', require: { issuers: [north.issuer] } },
      { path: '/own/*', hosts: ['south.example'], respond: 'identity', require: { issuers: [south.issuer] } },
      { path: '/tenants/{tenant}/orders', respond: 'identity',
        require: { claims: [{ name: 'tenant', equals: '{tenant}' }] } },
      { path: '/open', respond: 'identity', anonymous: 'allow' },
    ],
  };
}

before(async () => {
  [north, south] = await Promise.all([
    new TestProvider({ algorithms: ['RS256'], claims: NORTH, scopes: 'orders:read orders:write' }).start(),
    new TestProvider({ algorithms: ['EdDSA'], claims: SOUTH, scopes: 'orders:read orders:write' }).start(),
  ]);
  absent = `http://127.0.0.1:${await freePort()}`;
  daemon = await Bearerd.start({ settings });
  for (const token of [await northToken(), await southToken()]) {
    await eventually('keys', async () => (await daemon.get('/profile/', token)).status === 200);
  }
}, LIMIT);

after(async () => {
  assert.equal(await daemon?.stop(), 0);
  await Promise.all([north?.stop(), south?.stop()]);
}, LIMIT);

const refused = (path) =>
  daemon.log.findLast((event) => event.message === 'refused' && event.path === path);

// The answer, the sentence in body and challenge, and what the log says of it.
async function assertRefused(path, token, { status, error, description, reason }, headers = {}) {
  const answer = await daemon.get(path, token, 'GET', headers);
  assert.equal(answer.status, status, answer.body);
  assert.deepEqual(JSON.parse(answer.body), { error, error_description: description });
  assert.ok(answer.headers['www-authenticate']
    .startsWith(`Bearer realm="bearerd", error="${error}", error_description="${description}"`),
  answer.headers['www-authenticate']);
  const event = await eventually('the log', () => refused(path));
  assert.equal(event.reason, reason);
  assert.equal(event.why, description);
}

// --- each for itself ------------------------------------------------------------------------------

test('each tenant has its own user and scope claims, and the decoys count for nothing', LIMIT, async () => {
  const tokens = [await northToken(), await southToken()];
  assert.deepEqual(tokens.map((token) => headerOf(token).alg), ['RS256', 'EdDSA']);
  for (const claim of ['email', 'preferred_username', 'permissions', 'scope']) {
    for (const token of tokens) assert.ok(claimsOf(token)[claim], `${claim} is in both`);
  }
  const profiles = await Promise.all(tokens.map((token) => daemon.get('/profile/', token)));
  assert.deepEqual(profiles.map(({ body }) => JSON.parse(body)), [
    { user: { username: 'nora@north.example' }, auth: { scopes: ['orders:read', 'authenticated'] } },
    { user: { username: 'sam' }, auth: { scopes: ['orders:read', 'authenticated'] } },
  ]);
});

// --- crossed --------------------------------------------------------------------------------------

const INVALID = { status: 401, error: 'invalid_token' };
const LACKING = { status: 403, error: 'insufficient_scope' };

const crossed = [
  ['a token of the north that the key of the south signed',
    () => northForged({}, {}, south.key()),
    { ...INVALID, reason: 'algorithm_not_allowed', description: "the alg 'EdDSA' is not accepted" }],
  ['a token of the south that the key of the north signed',
    () => southForged({}, {}, north.key()),
    { ...INVALID, reason: 'algorithm_not_allowed', description: "the alg 'RS256' is not accepted" }],
  ['a token of the north that names a key of the south',
    () => northForged({}, { kid: south.key().kid }),
    { ...INVALID, reason: 'key_not_found',
      description: 'the issuer has no key with the kid that the token names' }],
  ["a token of the south by a stranger's key under the right kid",
    () => southForged({}, { kid: south.key().kid }, newKey('EdDSA')),
    { ...INVALID, reason: 'signature_invalid', description: 'the signature of the token is not valid' }],
  ['a token of the north for the audience of the south',
    () => northToken({ audience: 'south-api' }),
    { ...INVALID, reason: 'audience_mismatch',
      description: "the token is for the audience 'south-api'; expected 'north-api'" }],
  ['a token of the south for the audience of the north',
    () => southToken({ audience: 'north-api' }),
    { ...INVALID, reason: 'audience_mismatch',
      description: "the token is for the audience 'north-api'; expected 'south-api'" }],
  ['a token of the north with the user claim of the south alone',
    () => northForged({ email: undefined }),
    { ...INVALID, reason: 'user_missing',
      description: 'the token names no user: it has no usable email claim' }],
  ['a token of the south with the user claim of the north alone',
    () => southForged({ preferred_username: undefined }),
    { ...INVALID, reason: 'user_missing',
      description: 'the token names no user: it has no usable preferred_username claim' }],
  ['a token of the north with the scope where the south has it',
    () => northToken(), { ...LACKING, reason: 'scope_missing',
      description: "the token lacks the scope 'orders:write'" }, '/write'],
  ['a token of the south with the scope where the north has it',
    () => southToken(), { ...LACKING, reason: 'scope_missing',
      description: "the token lacks the scope 'orders:write'" }, '/write'],
];

for (const [i, [name, make, expected, route = '/read']] of crossed.entries()) {
  test(`${name} is refused, and exactly why is told`, LIMIT, async () => {
    // Its neighbours, forged in the same way but with nothing crossed, are let in.
    const good = route === '/write'
      ? [northForged({ scope: 'orders:write' }), southForged({ permissions: ['orders:write'] })]
      : [northForged({}), southForged({})];
    for (const token of good) {
      const answer = await daemon.get(`${route}/control`, token);
      assert.equal(answer.status, 200, answer.body);
    }
    await assertRefused(`${route}/crossed-${i}`, await make(), expected);
  });
}

test('an issuer is compared to the last character', LIMIT, async () => {
  const unknown = { ...INVALID, reason: 'issuer_unknown',
    description: 'the issuer of the token is not one that is accepted here' };
  const { issuer } = north;
  for (const [i, iss] of [`${issuer}/`, issuer.toUpperCase(), issuer.slice(0, -1)].entries()) {
    await assertRefused(`/read/issuer-${i}`, northForged({ iss }), unknown);
  }
  assert.equal((await daemon.get('/read/x', northForged({ iss: issuer }))).status, 200);
});

// --- routes of one tenant -------------------------------------------------------------------------

test('a host of one tenant lets in tokens of that tenant alone', LIMIT, async () => {
  const tenants = [['north', await northToken(), north], ['south', await southToken(), south]];
  for (const [host] of tenants) {
    for (const [tenant, token, { issuer }] of tenants) {
      const headers = { host: `${host}.example` }, path = `/own/${tenant}-at-${host}`;
      if (host === tenant) {
        assert.equal((await daemon.get(path, token, 'GET', headers)).status, 200);
        continue;
      }
      await assertRefused(path, token, { ...LACKING, reason: 'issuer_not_allowed',
        description: `tokens of the issuer ${issuer} are not accepted for this path` }, headers);
    }
  }
  assert.equal((await daemon.get('/own/x', tenants[0][1])).status, 404, 'no host, no route');
});

test('a path of one tenant lets in tokens that name that tenant', LIMIT, async () => {
  const tenants = [['north', await northToken()], ['south', await southToken()]];
  for (const [place] of tenants) {
    for (const [tenant, token] of tenants) {
      const path = `/tenants/${place}/orders`;
      if (place === tenant) {
        const answer = await daemon.get(path, token);
        assert.equal(answer.status, 200, answer.body);
        continue;
      }
      await assertRefused(path, token, { ...LACKING, reason: 'claim_not_met',
        description: `the claim tenant is '${tenant}'; it must be '{tenant}'` });
    }
  }
});

// --- trouble at one tenant ------------------------------------------------------------------------

test('keys that one tenant rotates are fetched from that tenant alone', LIMIT, async () => {
  for (const [one, other, make] of [[north, south, northToken], [south, north, southToken]]) {
    await sleep(1100); // longer than the cooldown
    const own = { ...one.hits }, others = { ...other.hits };
    one.rotate();
    const answer = await daemon.get('/profile/', await make());
    assert.equal(answer.status, 200, answer.body);
    assert.equal(one.hits.jwks, own.jwks + 1);
    assert.deepEqual(other.hits, others);
  }
});

test('while one tenant is gone, the other rotates and both are served', LIMIT, async () => {
  const old = await southToken();
  assert.equal((await daemon.get('/profile/', old)).status, 200);
  await south.stop();
  try {
    await sleep(1100);
    north.rotate();
    const fresh = await northToken();
    assert.equal((await daemon.get('/profile/', fresh)).status, 200);
    assert.equal((await daemon.get('/profile/', old)).status, 200, 'by the keys that are known');
  } finally {
    await south.start();
  }
});

test('while one tenant is gone, a key of it that nobody knows is refused and the other is not slowed',
  LIMIT, async () => {
    await south.stop();
    try {
      const unknown = daemon.get('/profile/', southForged({}, { kid: 'nobody-knows' }));
      const token = await northToken();
      for (let i = 0; i < 20; i++) assert.equal((await daemon.get('/profile/', token)).status, 200);
      assert.equal((await unknown).status, 401);
    } finally {
      await south.start();
    }
  });

test('a tenant that was never there is 503 for its own clients, and for nobody else', LIMIT, async () => {
  const key = newKey('ES256');
  const token = signWith(key, { alg: 'ES256', kid: key.kid }, { iss: absent, aud: 'absent-api',
    sub: 'anyone', exp: Math.floor(Date.now() / 1000) + 300 });
  for (const path of ['/read/absent', '/open']) {
    const answer = await daemon.get(path, token);
    assert.equal(answer.status, 503);
    assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
    assert.equal(answer.headers['www-authenticate'], undefined);
    const event = await eventually('the log', () => refused(path));
    assert.equal(event.reason, 'keys_unavailable');
  }
  assert.equal((await daemon.get('/open')).body, '{"anonymous":true}');
  assert.equal((await daemon.get('/profile/')).status, 401);
  for (const make of [northToken, southToken]) {
    assert.equal((await daemon.get('/profile/', await make())).status, 200);
  }
});

test('nothing of a token is in the log', LIMIT, async () => {
  const token = northForged({ aud: 'south-api' });
  assert.equal((await daemon.get('/read/logged', token)).status, 401);
  await eventually('the log', () => refused('/read/logged'));
  for (const piece of token.split('.')) assert.ok(!daemon.errors.includes(piece));
});
