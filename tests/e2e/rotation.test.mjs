// Key rotation while several clients keep asking.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bearerd, eventually } from './bearerd.mjs';
import { ALGORITHMS, TestProvider } from './provider.mjs';

const LIMIT = { timeout: 60_000 };
const CLIENTS = 4;

let provider, daemon;

before(async () => {
  provider = await new TestProvider().start();
  daemon = await Bearerd.start({ issuer: provider.issuer });
  const token = await provider.token();
  await eventually('keys', async () => (await daemon.get('/profile/', token)).status === 200);
}, LIMIT);

after(async () => {
  await daemon?.stop();
  await provider?.stop();
}, LIMIT);

// Ask with a fresh token each time until told to stop; returns every answer that was not 200.
async function traffic(algorithm, running) {
  const failed = [];
  let count = 0;
  while (running.on) {
    const token = await provider.token({ algorithm });
    const { status, body } = await daemon.get('/profile/', token);
    if (status !== 200) failed.push(`${status} ${body}`);
    count++;
  }
  return { count, failed };
}

test('no request fails while the provider rotates its keys three times', LIMIT, async () => {
  const running = { on: true };
  const clients = Array.from({ length: CLIENTS }, (_, i) =>
    traffic(ALGORITHMS[i % ALGORITHMS.length], running));
  const before = provider.hits.jwks;
  for (let i = 0; i < 3; i++) {
    await sleep(1500); // longer than the cooldown
    provider.rotate();
  }
  await sleep(500);
  running.on = false;

  const results = await Promise.all(clients);
  assert.deepEqual(results.flatMap((result) => result.failed), []);
  for (const { count } of results) assert.ok(count >= 4, `a client made only ${count} requests`);
  // All clients shared one fetch a rotation.
  assert.equal(provider.hits.jwks - before, 3);
});

test('a token of a key that was withdrawn dies with the next refresh', LIMIT, async () => {
  const old = await provider.token();
  assert.equal((await daemon.get('/', old)).status, 200);
  await sleep(1200);
  provider.rotate();
  provider.dropOldKeys();
  assert.equal((await daemon.get('/', old)).status, 200, 'before the refresh');

  const fresh = await provider.token();
  assert.equal((await daemon.get('/', fresh)).status, 200, 'makes bearerd fetch the new keys');
  const answer = await daemon.get('/', old);
  assert.equal(answer.status, 401);
  assert.match(answer.headers['www-authenticate'], /error="invalid_token"/);
});
