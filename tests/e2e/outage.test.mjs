// The provider is gone for a while, or was never there.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Bearerd, eventually } from './bearerd.mjs';
import { TestProvider } from './provider.mjs';

const LIMIT = { timeout: 60_000 };

let provider, token;

before(async () => {
  provider = await new TestProvider().start();
  token = await provider.token();
}, LIMIT);

after(() => provider?.stop(), LIMIT);

test('known keys serve while the provider is down, and through a restart', LIMIT, async () => {
  let daemon = await Bearerd.start({ issuer: provider.issuer });
  await eventually('keys', async () => (await daemon.get('/profile/', token)).status === 200);

  await provider.stop();
  try {
    assert.equal((await daemon.get('/profile/', token)).status, 200);
    assert.equal(await daemon.stop({ keep: true }), 0);

    daemon = await Bearerd.start({ issuer: provider.issuer, folder: daemon.folder });
    const answer = await daemon.get('/profile/', token);
    assert.equal(answer.status, 200, `from the disk copy: ${answer.body}\n${daemon.errors}`);
  } finally {
    await provider.start();
    await daemon.stop();
  }
});

test('without any keys requests with a token are 503, others work, until the provider is back', LIMIT,
  async () => {
    await provider.stop();
    const daemon = await Bearerd.start({ issuer: provider.issuer });
    try {
      const answer = await daemon.get('/profile/', token);
      assert.equal(answer.status, 503);
      assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
      assert.equal(answer.headers['www-authenticate'], undefined);
      assert.equal((await daemon.get('/')).body, '{"anonymous":true}');
      assert.equal((await daemon.get('/profile/')).status, 401);

      await provider.start();
      await eventually('keys', async () => (await daemon.get('/profile/', token)).status === 200, 30_000);
    } finally {
      await provider.start(); // running already unless the test failed early
      await daemon.stop();
    }
  });
