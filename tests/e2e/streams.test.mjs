// WebSockets and event streams of real programs through bearerd, plain and by TLS.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { Bearerd, eventually, freePort } from './bearerd.mjs';
import { TestProvider } from './provider.mjs';

const LIMIT = { timeout: 60_000 };

let provider, daemon, token, upstream, sockets, folder, tls;

// --- the upstream ---------------------------------------------------------------------------------

// Open streams by path, so that a test decides when the next event is made.
const streams = new Map();
// Upgrades that the upstream heard of.
let upgrades = 0;

function onRequest(request, response) {
  if (request.method === 'POST') {
    response.writeHead(200);
    const pieces = [];
    request.on('data', (bytes) => pieces.push(bytes));
    request.on('end', () => response.end(Buffer.concat(pieces)));
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.flushHeaders();
  streams.set(request.url, response);
}

function onSocket(socket, request) {
  const path = request.url;
  socket.send(JSON.stringify({
    user: request.headers['x-auth-user'],
    authorization: request.headers.authorization ?? null,
  }));
  if (path === '/up/ping') socket.ping('are you there?');
  socket.on('pong', (data) => socket.send(`pong ${data}`));
  socket.on('message', (data, binary) => {
    if (path === '/up/close') socket.close(4002, 'told to');
    else socket.send(data, { binary });
  });
  socket.on('close', (code, reason) => sockets.emit('closed', code, String(reason)));
}

async function startUpstream() {
  upstream = createServer(onRequest);
  sockets = new WebSocketServer({
    server: upstream,
    perMessageDeflate: { threshold: 0 },
    handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
  });
  upstream.on('upgrade', () => { upgrades++; });
  sockets.on('connection', onSocket);
  await new Promise((done) => upstream.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${upstream.address().port}`;
}

async function makeCertificate() {
  folder = mkdtempSync(join(tmpdir(), 'bearerd-e2e-tls-'));
  const certificate = join(folder, 'tls.crt'), key = join(folder, 'tls.key');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
    '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1',
    '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  return { certificate, key, port: await freePort() };
}

before(async () => {
  provider = await new TestProvider().start();
  tls = await makeCertificate();
  daemon = await Bearerd.start({
    issuer: provider.issuer, leeway: '0s', upstream: await startUpstream(), tls,
  });
  token = await provider.token();
  await eventually('keys', async () => (await daemon.get('/profile/', token)).status === 200);
}, LIMIT);

after(async () => {
  for (const socket of sockets?.clients ?? []) socket.terminate();
  upstream?.closeAllConnections();
  assert.equal(await daemon?.stop(), 0);
  await new Promise((done) => upstream.close(done));
  await provider?.stop();
  rmSync(folder, { recursive: true });
}, LIMIT);

// --- WebSocket ------------------------------------------------------------------------------------

// A client whose messages are kept from the first on; next() waits for the next one.
class Client {
  constructor(scheme, path, { protocols = [], authorization = `Bearer ${token}`, ...options } = {}) {
    const port = scheme === 'wss' ? tls.port : daemon.port;
    this.socket = new WebSocket(`${scheme}://127.0.0.1:${port}/up/${path}`, protocols, {
      headers: authorization ? { authorization } : {},
      ca: readFileSync(tls.certificate),
      ...options,
    });
    this.messages = [];
    this.socket.on('message', (data, binary) => {
      this.messages.push(binary ? data : String(data));
      this.socket.emit('came');
    });
    this.closed = new Promise((done) => {
      this.socket.on('close', (code, reason) => done({ code, reason: String(reason) }));
    });
  }

  // What the upstream says first.
  async open() {
    await once(this.socket, 'open');
    return JSON.parse(await this.next());
  }

  async next() {
    while (this.messages.length === 0) await once(this.socket, 'came');
    return this.messages.shift();
  }

  async end() {
    this.socket.close(1000);
    return this.closed;
  }
}

for (const scheme of ['ws', 'wss']) {
  test(`${scheme}: without a good token the answer is 401 and the upstream hears nothing`, LIMIT,
    async () => {
      const heard = upgrades;
      for (const authorization of [null, 'Bearer x.y.z', 'Basic dXNlcjpw']) {
        const { socket } = new Client(scheme, 'echo', { authorization });
        const [, response] = await once(socket, 'unexpected-response');
        assert.equal(response.statusCode, 401);
        assert.match(response.headers['www-authenticate'], /^Bearer realm="bearerd"/);
        socket.on('error', () => {}); // terminating it before it was open is one
        socket.terminate();
      }
      assert.equal(upgrades, heard);
    });

  test(`${scheme}: the upstream knows the user and has not seen the token`, LIMIT, async () => {
    const client = new Client(scheme, 'echo', { protocols: ['other', 'chat'] });
    assert.deepEqual(await client.open(), { user: 'machine@example.com', authorization: null });
    assert.equal(client.socket.protocol, 'chat');
    assert.equal((await client.end()).code, 1000);
  });

  test(`${scheme}: text, binary and empty messages come back as they were`, LIMIT, async () => {
    const client = new Client(scheme, 'echo', { perMessageDeflate: false });
    await client.open();
    assert.equal(client.socket.extensions, '');
    const messages = ['hello', 'żółw 🐢', '', randomBytes(1), randomBytes(125), randomBytes(126),
      randomBytes(65535), randomBytes(65536), randomBytes(1 << 20)];
    for (const message of messages) {
      client.socket.send(message);
      assert.deepEqual(await client.next(), message);
    }
    await client.end();
  });

  test(`${scheme}: permessage-deflate is agreed upon and used`, LIMIT, async () => {
    const client = new Client(scheme, 'echo', { perMessageDeflate: { threshold: 0 } });
    await client.open();
    assert.match(client.socket.extensions, /^permessage-deflate/);
    for (const message of ['x'.repeat(1 << 20), randomBytes(1 << 18)]) {
      client.socket.send(message);
      assert.deepEqual(await client.next(), message);
    }
    await client.end();
  });

  test(`${scheme}: a thousand messages at once come back in order`, LIMIT, async () => {
    const client = new Client(scheme, 'echo');
    await client.open();
    const sent = Array.from({ length: 1000 }, (_, i) => `${i} ${'.'.repeat(i)}`);
    for (const message of sent) client.socket.send(message);
    const came = [];
    while (came.length < sent.length) came.push(await client.next());
    assert.deepEqual(came, sent);
    await client.end();
  });

  test(`${scheme}: ping and pong pass both ways`, LIMIT, async () => {
    const client = new Client(scheme, 'ping');
    await client.open();
    assert.equal(await client.next(), 'pong are you there?');
    const pong = once(client.socket, 'pong');
    client.socket.ping('and you?');
    assert.equal(String((await pong)[0]), 'and you?');
    await client.end();
  });

  test(`${scheme}: close codes and reasons pass both ways`, LIMIT, async () => {
    const first = new Client(scheme, 'echo');
    await first.open();
    const heard = once(sockets, 'closed');
    first.socket.close(4001, 'enough');
    assert.deepEqual(await heard, [4001, 'enough']);
    assert.deepEqual(await first.closed, { code: 4001, reason: 'enough' });

    const second = new Client(scheme, 'close');
    await second.open();
    second.socket.send('close it');
    assert.deepEqual(await second.closed, { code: 4002, reason: 'told to' });
  });

  test(`${scheme}: it is closed on both sides when its token expires`, LIMIT, async () => {
    const client = new Client(scheme, 'echo', {
      authorization: `Bearer ${await provider.token({ ttl: 2 })}`,
    });
    const lasting = new Client(scheme, 'echo');
    await Promise.all([client.open(), lasting.open()]);
    const heard = once(sockets, 'closed');
    assert.equal((await client.closed).code, 1006); // without a close frame
    assert.equal((await heard)[0], 1006);
    lasting.socket.send('still here');
    assert.equal(await lasting.next(), 'still here');
    await lasting.end();
  });
}

test('fifty WebSockets at once do not mix', LIMIT, async () => {
  const clients = Array.from({ length: 50 }, (_, i) => new Client(i % 2 ? 'wss' : 'ws', 'echo'));
  await Promise.all(clients.map((client) => client.open()));
  await Promise.all(clients.map(async (client, i) => {
    for (let n = 0; n < 20; n++) {
      client.socket.send(`${i}: ${n}`);
      assert.equal(await client.next(), `${i}: ${n}`);
    }
    assert.equal((await client.end()).code, 1000);
  }));
});

// --- event streams --------------------------------------------------------------------------------

function ask(path, options = {}) {
  return fetch(`http://127.0.0.1:${daemon.port}/up/${path}`, {
    headers: { authorization: `Bearer ${token}` }, ...options,
  });
}

test('fetch() gets each event before the next one is made', LIMIT, async () => {
  const response = await ask('events');
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const source = streams.get('/up/events');
  for (let i = 0; i < 100; i++) {
    source.write(`id: ${i}\ndata: event ${i}\n\n`);
    assert.deepEqual(await reader.read(), { done: false, value: `id: ${i}\ndata: event ${i}\n\n` });
  }
  source.end();
  assert.equal((await reader.read()).done, true);
});

test('a stream that fetch() gives up ends at its source', LIMIT, async () => {
  const abort = new AbortController();
  const response = await ask('left', { signal: abort.signal });
  const source = streams.get('/up/left');
  source.write('data: 1\n\n');
  await response.body.getReader().read();
  const closed = once(source, 'close');
  abort.abort();
  await closed;
});

test('a stream is an error to fetch() when its token expires, and its source is told', LIMIT, async () => {
  const brief = await provider.token({ ttl: 2 });
  const response = await ask('brief', { headers: { authorization: `Bearer ${brief}` } });
  const reader = response.body.getReader();
  const source = streams.get('/up/brief');
  source.write('data: 1\n\n');
  assert.equal(String(Buffer.from((await reader.read()).value)), 'data: 1\n\n');
  const closed = once(source, 'close');
  await assert.rejects(reader.read(), { name: 'TypeError' });
  await closed;
});

test('a body that fetch() streams comes back whole', LIMIT, async () => {
  const pieces = Array.from({ length: 64 }, () => randomBytes(50_000));
  const response = await ask('post', {
    method: 'POST', body: ReadableStream.from(pieces), duplex: 'half',
  });
  assert.equal(response.status, 200);
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.concat(pieces));
});
