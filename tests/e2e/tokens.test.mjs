// What a client of bearerd sees with tokens of a real provider.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bearerd, eventually } from './bearerd.mjs';
import { ALGORITHMS, TestProvider } from './provider.mjs';

const LIMIT = { timeout: 60_000 };
const IDENTITY = '{"username":"machine@example.com","anonymous":false}';
const PROFILE = '{"user":{"username":"machine@example.com"},' +
  '"auth":{"scopes":["openid","profile","email","authenticated"]}}';

let provider, daemon;

before(async () => {
  provider = await new TestProvider().start();
  daemon = await Bearerd.start({ issuer: provider.issuer, leeway: '0s' });
  const token = await provider.token();
  await eventually('keys', async () => (await daemon.get('/profile/', token)).status === 200);
}, LIMIT);

after(async () => {
  await daemon?.stop();
  await provider?.stop();
}, LIMIT);

for (const algorithm of ALGORITHMS) {
  test(`a token signed with ${algorithm} is answered with its identity and profile`, LIMIT, async () => {
    const token = await provider.token({ algorithm });
    const header = JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));
    assert.equal(header.alg, algorithm);
    assert.equal(header.typ, 'at+jwt');

    const identity = await daemon.get('/', token);
    assert.equal(identity.status, 200);
    assert.equal(identity.body, IDENTITY);
    assert.match(identity.headers['content-type'], /^application\/json/);

    const profile = await daemon.get('/profile/', token);
    assert.equal(profile.status, 200);
    assert.equal(profile.body, PROFILE);
  });
}

test('HEAD is answered as GET, without a body', LIMIT, async () => {
  const answer = await daemon.get('/profile/', await provider.token(), 'HEAD');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-length'], String(PROFILE.length));
  assert.equal(answer.body, '');
});

test('without a token the identity is anonymous and the profile is refused', LIMIT, async () => {
  const identity = await daemon.get('/');
  assert.equal(identity.status, 200);
  assert.equal(identity.body, '{"anonymous":true}');

  const profile = await daemon.get('/profile/');
  assert.equal(profile.status, 401);
  assert.equal(profile.headers['www-authenticate'], 'Bearer realm="bearerd"');
  assert.equal(profile.headers['cache-control'], 'no-store');
});

test('a token without the scope of the route is 403 and names the scope', LIMIT, async () => {
  const token = await provider.token({ scope: 'openid email' });
  assert.equal((await daemon.get('/', token)).status, 200);

  const answer = await daemon.get('/profile/', token);
  assert.equal(answer.status, 403);
  assert.match(answer.headers['www-authenticate'], /error="insufficient_scope"/);
  assert.match(answer.headers['www-authenticate'], /scope="[^"]*\bprofile\b[^"]*"/);
  assert.equal(JSON.parse(answer.body).error, 'insufficient_scope');
});

test('an expired token is 401 and told both clocks and the skew, even where anyone may come', LIMIT,
  async () => {
    const token = await provider.token({ ttl: 1 });
    await sleep(2100);
    for (const path of ['/', '/profile/']) {
      const answer = await daemon.get(path, token);
      assert.equal(answer.status, 401);
      assert.match(answer.headers['www-authenticate'], /error="invalid_token"/);
      const moment = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`;
      assert.match(JSON.parse(answer.body).error_description, new RegExp(
        `^token expired at ${moment}; current time ${moment}, \\d+ s later; allowed clock skew 0 s$`));
    }
  });

test('a token whose payload was changed is 401', LIMIT, async () => {
  const [header, payload, signature] = (await provider.token()).split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'root' })).toString('base64url');
  const answer = await daemon.get('/', [header, forged, signature].join('.'));
  assert.equal(answer.status, 401);
  assert.match(answer.headers['www-authenticate'], /error="invalid_token"/);
});

test('the environment alone is enough to serve', LIMIT, async () => {
  const other = await Bearerd.startByEnvironment({ issuer: provider.issuer });
  try {
    const token = await provider.token({ algorithm: 'RS256' });
    const answer = await eventually('keys', async () => {
      const profile = await other.get('/profile/', token);
      return profile.status === 503 ? undefined : profile;
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, PROFILE);
  } finally {
    assert.equal(await other.stop(), 0);
  }
});
