// Client and server of the official MCP SDK, as they are, with bearerd between them. All that a client
// knows at first is the URL of its endpoint.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { Bearerd, eventually } from './bearerd.mjs';
import { Browser } from './login.mjs';
import { claimsOf, CLIENT, TestProvider } from './provider.mjs';

const LIMIT = { timeout: 30_000 };
const CALLBACK = 'http://127.0.0.1:1/callback';
const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const TOOLS = ['mcp:tools'];

let provider, daemon, upstream;

// --- the server -----------------------------------------------------------------------------------

// Requests that reached it, oldest first, and its sessions.
const heard = [], sessions = new Map();
// The tool "slow" ends when a test calls this.
let finishSlow;

async function slow({ _meta: { progressToken }, sendNotification }) {
  const finished = new Promise((done) => { finishSlow = done; });
  for (const progress of [1, 2]) {
    const params = { progressToken, progress, total: 3 };
    await sendNotification({ method: 'notifications/progress', params });
  }
  await finished;
  return { content: [{ type: 'text', text: 'done' }] };
}

async function newSession() {
  const server = new McpServer({ name: 'tools', version: '1.0.0' });
  server.registerTool('add', { inputSchema: { a: z.number(), b: z.number() } },
    ({ a, b }) => ({ content: [{ type: 'text', text: String(a + b) }] }));
  server.registerTool('slow', {}, slow);
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => { sessions.set(id, { server, transport }); },
    onsessionclosed: (id) => { sessions.delete(id); },
  });
  await server.connect(transport);
  return transport;
}

async function onRequest(request, response) {
  const { method, url, headers } = request;
  heard.push({ method, url, authorization: headers.authorization, user: headers['x-auth-user'],
    names: Object.keys(headers) });
  const id = headers['mcp-session-id'];
  const transport = id ? sessions.get(id)?.transport : await newSession();
  if (!transport) return response.writeHead(404).end();
  return transport.handleRequest(request, response);
}

function settings(url) {
  const at = (path) => ({ path, upstream: 'mcp', require: { scopes: TOOLS } });
  const alone = (path) => ({ path, upstream: 'mcp', require: { scopes: TOOLS, audiences: [url + path] } });
  const resources = ['/mcp', '/team', '/a', '/b'];
  return {
    issuers: [{ issuer: provider.issuer, audiences: resources.map((path) => url + path),
      user_claims: ['sub'] }],
    resources: [
      { resource: `${url}/mcp`, scopes: TOOLS, name: 'Tools' },
      { resource: `${url}/team`, scopes: TOOLS },
      { resource: `${url}/a`, scopes: TOOLS },
      { resource: `${url}/b`, scopes: TOOLS },
    ],
    upstreams: [{ name: 'mcp', targets: [`http://127.0.0.1:${upstream.address().port}`] }],
    routes: [at('/mcp'), at('/team/mcp'), alone('/a'), alone('/b')],
  };
}

before(async () => {
  upstream = createServer(onRequest);
  await new Promise((done) => upstream.listen(0, '127.0.0.1', done));
  provider = await new TestProvider({
    algorithms: ['RS256'], // what a client that registers itself is given
    scopes: 'openid mcp:tools mcp:other',
    registration: true,
    claims: {},
  }).start();
  daemon = await Bearerd.start({ settings });
  await eventually('keys', async () => (await daemon.get('/b', await machineToken('/b'))).status !== 503);
  heard.length = 0;
}, LIMIT);

after(async () => {
  assert.equal(await daemon?.stop(), 0);
  upstream?.closeAllConnections();
  await new Promise((done) => upstream.close(done));
  await provider?.stop();
}, LIMIT);

const machineToken = (path, scope = 'mcp:tools') => provider.token({ resource: daemon.url + path, scope });

// --- the client -----------------------------------------------------------------------------------

// What an application does for the SDK: it keeps things, and shows the user a page.
class Application {
  redirectUrl = CALLBACK;
  clientMetadata = { client_name: 'test', redirect_uris: [CALLBACK], grant_types: ['authorization_code'],
    response_types: ['code'], token_endpoint_auth_method: 'none' };
  #kept = {};

  state() { return 'state-of-the-test'; }
  clientInformation() { return this.#kept.client; }
  saveClientInformation(client) { this.#kept.client = client; }
  tokens() { return this.#kept.tokens; }
  saveTokens(tokens) { this.#kept.tokens = tokens; }
  codeVerifier() { return this.#kept.verifier; }
  saveCodeVerifier(verifier) { this.#kept.verifier = verifier; }
  redirectToAuthorization(url) { this.page = url; }
}

const machine = (scope) => new ClientCredentialsProvider({
  clientId: CLIENT.id, clientSecret: CLIENT.secret, scope, expectedIssuer: provider.issuer,
});

const opened = [];

afterEach(async () => {
  while (opened.length) await opened.pop().close();
}, LIMIT);

// A client and the requests that it made: "METHOD where/path status", where "as" is the provider.
class Visitor {
  #requests = [];

  // change may put another response in the place of one.
  constructor(path, application = new Application(), change = (response) => response) {
    this.url = new URL(daemon.url + path);
    this.application = application;
    this.change = change;
    this.errors = [];
    this.#open();
  }

  #open() {
    this.client = new Client({ name: 'test', version: '1.0.0' });
    this.client.onerror = (error) => this.errors.push(error);
    this.transport = new StreamableHTTPClientTransport(this.url, {
      authProvider: this.application,
      fetch: (...request) => this.#fetch(...request),
    });
    opened.push(this.client);
  }

  async #fetch(input, init = {}) {
    const url = new URL(input);
    const where = { [daemon.url]: 'gate', [provider.issuer]: 'as' }[url.origin] ?? url.origin;
    const entry = { what: `${init.method ?? 'GET'} ${where}${url.pathname}` };
    this.#requests.push(entry);
    const response = await fetch(input, init);
    entry.status = response.status;
    return this.change(response);
  }

  // Those that were made, once all of them are answered; and forget them.
  async requests() {
    await eventually('answers', () => this.#requests.every(({ status }) => status));
    return this.#requests.splice(0).map(({ what, status }) => `${what} ${status}`);
  }

  connect() {
    return this.client.connect(this.transport);
  }

  // The user is sent to the provider; answers the parameters of that request.
  async isSentToLogin() {
    await assert.rejects(this.connect(), UnauthorizedError);
    return Object.fromEntries(this.application.page.searchParams);
  }

  // The user logs in; then the client tries again.
  async login() {
    const callback = await new Browser().authorize(this.application.page);
    assert.equal(callback.searchParams.get('state'), 'state-of-the-test');
    await this.transport.finishAuth(callback.searchParams.get('code'));
    await this.client.close();
    this.#open();
    await this.connect();
  }

  async add(a, b) {
    const { content } = await this.client.callTool({ name: 'add', arguments: { a, b } });
    return content[0].text;
  }
}

async function comeIn(path = '/mcp') {
  const visitor = new Visitor(path);
  await visitor.isSentToLogin();
  await visitor.login();
  return visitor;
}

const session = (path) =>
  [`POST gate${path} 200`, `POST gate${path} 202`, `GET gate${path} 200`, `POST gate${path} 200`];

// --- the way in -----------------------------------------------------------------------------------

test('a client that knows only a URL finds its way in and calls a tool', LIMIT, async () => {
  const visitor = new Visitor('/mcp');
  heard.length = 0;
  const asked = await visitor.isSentToLogin();
  assert.deepEqual(await visitor.requests(), [
    'POST gate/mcp 401',
    `GET gate${WELL_KNOWN}/mcp 200`,
    'GET as/.well-known/oauth-authorization-server 200',
    'POST as/reg 201',
  ]);
  assert.deepEqual(heard, [], 'the server knows nothing of all this');
  const { client_id, code_challenge: challenge, ...rest } = asked;
  assert.equal(client_id, visitor.application.clientInformation().client_id);
  assert.match(challenge, /^[\w-]{43}$/);
  assert.deepEqual(rest, { response_type: 'code', code_challenge_method: 'S256', redirect_uri: CALLBACK,
    state: 'state-of-the-test', scope: 'mcp:tools', resource: `${daemon.url}/mcp` });

  await visitor.login();
  assert.equal(await visitor.add(2, 3), '5');
  assert.deepEqual(await visitor.requests(), [
    `GET gate${WELL_KNOWN}/mcp 200`,
    'GET as/.well-known/oauth-authorization-server 200',
    'POST as/token 200',
    ...session('/mcp'),
  ]);
  const claims = claimsOf(visitor.application.tokens().access_token);
  assert.deepEqual([claims.aud, claims.scope, claims.sub], [`${daemon.url}/mcp`, 'mcp:tools', 'alice']);
});

test('the metadata is exactly what is configured', LIMIT, async () => {
  const answer = await daemon.get(`${WELL_KNOWN}/mcp`);
  assert.equal(answer.status, 200);
  assert.match(answer.headers['content-type'], /^application\/json/);
  assert.deepEqual(JSON.parse(answer.body), {
    resource: `${daemon.url}/mcp`,
    resource_name: 'Tools',
    authorization_servers: [provider.issuer],
    scopes_supported: TOOLS,
    bearer_methods_supported: ['header'],
  });
});

test('where the guess of the client finds nothing, the challenge leads the way', LIMIT, async () => {
  const visitor = new Visitor('/team/mcp');
  const { resource } = await visitor.isSentToLogin();
  assert.equal(resource, `${daemon.url}/team`);
  await visitor.login();
  assert.equal(await visitor.add(20, 22), '42');
  assert.deepEqual(await visitor.requests(), [
    'POST gate/team/mcp 401',
    `GET gate${WELL_KNOWN}/team 200`,
    'GET as/.well-known/oauth-authorization-server 200',
    'POST as/reg 201',
    `GET gate${WELL_KNOWN}/team 200`,
    'GET as/.well-known/oauth-authorization-server 200',
    'POST as/token 200',
    ...session('/team/mcp'),
  ]);
});

test('and without resource_metadata in the challenge the client is lost', LIMIT, async () => {
  const visitor = new Visitor('/team/mcp', new Application(), (response) => {
    const challenge = response.headers.get('www-authenticate')?.replace(/, resource_metadata="[^"]*"/, '');
    return challenge ? new Response(response.body, { status: response.status,
      headers: { 'www-authenticate': challenge } }) : response;
  });
  await assert.rejects(visitor.connect());
  assert.equal(visitor.application.page, undefined);
  assert.deepEqual((await visitor.requests()).slice(0, 3),
    ['POST gate/team/mcp 401', `GET gate${WELL_KNOWN}/team/mcp 404`, `GET gate${WELL_KNOWN} 404`]);
});

test('a machine gets in by itself: one request, refused, is enough to know how', LIMIT, async () => {
  const visitor = new Visitor('/mcp', machine('mcp:tools'));
  await visitor.connect();
  assert.equal(await visitor.add(1, 1), '2');
  assert.deepEqual(await visitor.requests(), [
    'POST gate/mcp 401',
    `GET gate${WELL_KNOWN}/mcp 200`,
    'GET as/.well-known/oauth-authorization-server 200',
    'POST as/token 200',
    ...session('/mcp'),
  ]);
});

// --- inside ---------------------------------------------------------------------------------------

test('the server learns who is calling, and never sees a token', LIMIT, async () => {
  heard.length = 0;
  const visitor = await comeIn();
  await visitor.add(1, 2);
  await visitor.requests();
  await visitor.transport.terminateSession();
  assert.deepEqual(heard.map(({ method, url }) => `${method} ${url}`).sort(),
    ['DELETE /mcp', 'GET /mcp', 'POST /mcp', 'POST /mcp', 'POST /mcp']);
  for (const { user, authorization, names } of heard) {
    assert.equal(user, 'alice');
    assert.equal(authorization, undefined);
    assert.ok(names.includes('x-auth-issuer') && !names.includes('authorization'));
  }
});

test('progress arrives while the tool is still at work', LIMIT, async () => {
  const visitor = await comeIn();
  const came = [];
  let ended = false;
  const call = visitor.client.callTool({ name: 'slow' }, undefined, {
    onprogress: ({ progress, total }) => came.push([progress, total]),
  }).finally(() => { ended = true; });
  await eventually('progress', () => came.length === 2);
  assert.deepEqual(came, [[1, 3], [2, 3]]);
  assert.equal(ended, false);
  finishSlow();
  assert.equal((await call).content[0].text, 'done');
});

test('what the server says of itself arrives on the stream of a GET', LIMIT, async () => {
  const visitor = await comeIn();
  let told = 0;
  visitor.client.setNotificationHandler(ToolListChangedNotificationSchema, () => { told++; });
  assert.ok((await visitor.requests()).includes('GET gate/mcp 200'));
  const { server } = sessions.get(visitor.transport.sessionId);
  for (let i = 1; i <= 3; i++) {
    server.sendToolListChanged();
    await eventually(`notification ${i}`, () => told === i);
  }
});

test('a session ends by DELETE, and then it is gone', LIMIT, async () => {
  const visitor = await comeIn();
  assert.ok((await visitor.requests()).includes('GET gate/mcp 200'));
  const id = visitor.transport.sessionId;
  assert.ok(sessions.has(id));
  await visitor.transport.terminateSession();
  assert.deepEqual(await visitor.requests(), ['DELETE gate/mcp 200']);
  assert.ok(!sessions.has(id));
  const answer = await daemon.get('/mcp', visitor.application.tokens().access_token, 'GET',
    { 'mcp-session-id': id });
  assert.equal(answer.status, 404);
});

// --- refused --------------------------------------------------------------------------------------

test('what is refused is challenged exactly so, and never reaches the server', LIMIT, async () => {
  const metadata = `resource_metadata="${daemon.url}${WELL_KNOWN}/mcp"`;
  heard.length = 0;
  for (const method of ['GET', 'POST', 'DELETE']) {
    const nobody = await daemon.get('/mcp', undefined, method);
    assert.equal(nobody.status, 401);
    assert.equal(nobody.headers['www-authenticate'], `Bearer realm="bearerd", ${metadata}`);

    const lacking = await daemon.get('/mcp', await machineToken('/mcp', 'mcp:other'), method);
    assert.equal(lacking.status, 403);
    assert.equal(lacking.headers['www-authenticate'], 'Bearer realm="bearerd", ' +
      `error="insufficient_scope", error_description="the token lacks the scope 'mcp:tools'", ` +
      `scope="mcp:tools", ${metadata}`);

    const elsewhere = await provider.token({ resource: 'https://else.example/mcp', scope: 'mcp:tools' });
    const wrong = await daemon.get('/mcp', elsewhere, method);
    assert.equal(wrong.status, 401);
    const challenge = wrong.headers['www-authenticate'];
    assert.ok(challenge.startsWith('Bearer realm="bearerd", error="invalid_token", ' +
      `error_description="the token is for the audience 'https://else.example/mcp'; expected one of `),
    challenge);
    assert.ok(challenge.endsWith(`", ${metadata}`), challenge);
  }
  assert.deepEqual(heard, []);
});

test('a token without the scope: the user is asked for that scope, and then let in', LIMIT, async () => {
  const application = new Application();
  application.saveTokens({ access_token: await machineToken('/mcp', 'mcp:other'), token_type: 'Bearer',
    issuer: provider.issuer });
  const visitor = new Visitor('/mcp', application);
  assert.equal((await visitor.isSentToLogin()).scope, 'mcp:tools');
  assert.deepEqual(await visitor.requests(), [
    'POST gate/mcp 403',
    `GET gate${WELL_KNOWN}/mcp 200`,
    'GET as/.well-known/oauth-authorization-server 200',
    'POST as/reg 201',
  ]);
  await visitor.login();
  assert.equal(await visitor.add(4, 5), '9');
});

test('a machine that may not have the scope tries once more, and then it is told', LIMIT, async () => {
  const visitor = new Visitor('/mcp', machine('mcp:other'));
  heard.length = 0;
  await assert.rejects(visitor.connect(), { code: 403 });
  const newToken = [`GET gate${WELL_KNOWN}/mcp 200`, 'GET as/.well-known/oauth-authorization-server 200',
    'POST as/token 200'];
  assert.deepEqual(await visitor.requests(), [
    'POST gate/mcp 401', ...newToken, 'POST gate/mcp 403', ...newToken, 'POST gate/mcp 403',
  ]);
  assert.deepEqual(heard, []);
});

test('a token for one resource does not open another one of the same issuer', LIMIT, async () => {
  for (const [own, other] of [['/a', '/b'], ['/b', '/a']]) {
    const visitor = await comeIn(own);
    assert.equal(await visitor.add(3, 4), '7');

    const token = visitor.application.tokens().access_token;
    assert.equal(claimsOf(token).aud, daemon.url + own);
    heard.length = 0;
    const answer = await daemon.get(other, token);
    assert.equal(answer.status, 401);
    assert.equal(answer.headers['www-authenticate'], 'Bearer realm="bearerd", error="invalid_token", ' +
      `error_description="the token is not for this resource; its audience must be '${daemon.url + other}'", ` +
      `resource_metadata="${daemon.url}${WELL_KNOWN}${other}"`);
    const event = await eventually('the log', () => daemon.log.findLast((entry) =>
      entry.message === 'refused' && entry.path === other && entry.reason === 'audience_mismatch'));
    assert.equal(event.user, 'alice');
    assert.deepEqual(heard, []);
  }
});
