// openid-client, as it is, against bearerd: it gets tokens, reads the challenges and follows them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as client from 'openid-client';
import { Bearerd, eventually } from './bearerd.mjs';
import { Browser, PASSWORD } from './login.mjs';
import { claimsOf, CLIENT, headerOf, TestProvider } from './provider.mjs';

const LIMIT = { timeout: 60_000 };
const APP = { client_id: 'app', redirect_uri: 'http://127.0.0.1:1/callback' };
const MFA = 'urn:test:mfa';
const REALM = 'the "quoted" \\ realm';

let provider, daemon, resource, app, machine;

function settings({ tokenType = 'at+jwt' } = {}) {
  return (url) => ({
    realm: REALM,
    issuers: [{ issuer: provider.issuer, audiences: [`${url}/api`, 'app'], leeway: '0s',
      token_type: tokenType, user_claims: ['sub'] }],
    routes: [
      { path: '/api/me', respond: 'profile' },
      { path: '/api/orders', respond: 'identity', require: { scopes: ['orders:read', 'orders:write'] } },
      { path: '/api/strong', respond: 'identity', require: { acr: [MFA, 'urn:test:better'] } },
      { path: '/api/recent', respond: 'identity', require: { max_auth_age: '5m' } },
      { path: '/api/both', respond: 'identity',
        require: { acr: [MFA], max_auth_age: '5m', scopes: ['orders:write'] } },
    ],
  });
}

const discover = (id, ...rest) => client.discovery(new URL(provider.issuer), id, ...rest,
  { execute: [client.allowInsecureRequests] });

before(async () => {
  provider = await new TestProvider({
    algorithms: ['ES256'],
    scopes: 'openid orders:read orders:write',
    claims: {},
    clients: [{ client_id: APP.client_id, redirect_uris: [APP.redirect_uri], response_types: ['code'],
      grant_types: ['authorization_code'], token_endpoint_auth_method: 'none',
      id_token_signed_response_alg: 'ES256' }],
  }).start();
  daemon = await Bearerd.start({ settings: settings() });
  resource = `${daemon.url}/api`;
  machine = await discover(CLIENT.id, CLIENT.secret, client.ClientSecretBasic(CLIENT.secret));
  app = await discover(APP.client_id, undefined, client.None());
  const token = await provider.token({ resource, scope: 'orders:read' });
  await eventually('keys', async () => (await daemon.get('/api/me', token)).status === 200);
}, LIMIT);

after(async () => {
  assert.equal(await daemon?.stop(), 0);
  await provider?.stop();
}, LIMIT);

// The code flow with PKCE; parameters are those of the authorization request.
async function login(browser, parameters = {}) {
  const verifier = client.randomPKCECodeVerifier(), state = client.randomState();
  const url = client.buildAuthorizationUrl(app, {
    redirect_uri: APP.redirect_uri,
    scope: 'openid orders:read',
    resource,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    ...parameters,
  });
  return client.authorizationCodeGrant(app, await browser.authorize(url), {
    pkceCodeVerifier: verifier, expectedState: state, idTokenExpected: true,
    ...(parameters.max_age && { maxAge: Number(parameters.max_age) }),
  });
}

const ask = (path, token, config = app) =>
  client.fetchProtectedResource(config, token, new URL(daemon.url + path), 'GET');

// The one challenge that the client understood, with all its parameters.
async function challenged(path, token, status, parameters) {
  let caught;
  await assert.rejects(ask(path, token), (error) => {
    caught = error;
    return error instanceof client.WWWAuthenticateChallengeError;
  });
  assert.equal(caught.status, status);
  const [challenge, ...others] = caught.cause;
  assert.deepEqual(others, []);
  assert.equal(challenge.scheme, 'bearer');
  const { error_description: description, ...rest } = challenge.parameters;
  assert.deepEqual(rest, { realm: REALM, ...parameters });
  assert.deepEqual(await caught.response.json(),
    { error: parameters.error, error_description: description });
  return challenge.parameters;
}

test('client credentials: a machine gets a token and is let in', LIMIT, async () => {
  const tokens = await client.clientCredentialsGrant(machine, { resource, scope: 'orders:read' });
  assert.deepEqual({ ...headerOf(tokens.access_token), kid: 0 }, { alg: 'ES256', typ: 'at+jwt', kid: 0 });
  assert.equal(claimsOf(tokens.access_token).aud, resource);
  const response = await ask('/api/me', tokens.access_token, machine);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(),
    { user: { username: CLIENT.id }, auth: { scopes: ['orders:read', 'authenticated'] } });
});

test('code and PKCE: a user logs in and is let in', LIMIT, async () => {
  const browser = new Browser();
  const tokens = await login(browser);
  assert.ok(browser.visited.some((path) => path.startsWith('/interaction/')), 'there was a login page');
  const claims = claimsOf(tokens.access_token);
  assert.equal(claims.aud, resource);
  assert.equal(claims.acr, PASSWORD);
  const response = await ask('/api/me', tokens.access_token);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(),
    { user: { username: 'alice' }, auth: { scopes: ['openid', 'orders:read', 'authenticated'] } });
});

test('an invalid token: the client reads error and description, and a realm with quotes', LIMIT, async () => {
  const expired = provider.forge({ aud: resource, exp: 1575769457 });
  const { error_description: description } =
    await challenged('/api/me', expired, 401, { error: 'invalid_token' });
  assert.match(description,
    /^token expired at 2019-12-08T01:44:17Z; current time .*; allowed clock skew 0 s$/);

  const elsewhere = await provider.token({ resource: 'https://elsewhere.example/' });
  const other = await challenged('/api/me', elsewhere, 401, { error: 'invalid_token' });
  assert.match(other.error_description, /^the token is for the audience 'https:\/\/elsewhere\.example\/'; /);
});

test('a missing scope: the client reads all scopes that it takes', LIMIT, async () => {
  const tokens = await client.clientCredentialsGrant(machine, { resource, scope: 'orders:read' });
  const { error_description: description, scope } = await challenged('/api/orders', tokens.access_token, 403,
    { error: 'insufficient_scope', scope: 'orders:read orders:write' });
  assert.equal(description, "the token lacks the scope 'orders:write'");

  const more = await client.clientCredentialsGrant(machine, { resource, scope });
  assert.equal((await ask('/api/orders', more.access_token)).status, 200);
});

test('an ID token is no access token where token_type is at+jwt', LIMIT, async () => {
  const { id_token: token } = await login(new Browser());
  assert.equal(claimsOf(token).aud, 'app');
  assert.notEqual(headerOf(token).typ, 'at+jwt');
  const { error_description: description } =
    await challenged('/api/me', token, 401, { error: 'invalid_token' });
  assert.equal(description, "the typ of the token is not at+jwt, which this issuer's tokens must have");

  // Nothing else is wrong with it.
  const careless = await Bearerd.start({ settings: settings({ tokenType: 'any' }) });
  try {
    const answer = await eventually('keys', async () => {
      const came = await careless.get('/api/me', token);
      return came.status === 503 ? undefined : came;
    });
    assert.equal(answer.status, 200, answer.body);
  } finally {
    await careless.stop();
  }
});

test('step-up by acr: refused, logged in anew as the challenge says, let in', LIMIT, async () => {
  // The user does what is asked for, in the same browser, where the first login still stands.
  provider.person = ({ acr_values: wanted }) => ({ acr: wanted?.split(' ')[0] ?? PASSWORD });
  const browser = new Browser();
  const weak = await login(browser);
  const told = await challenged('/api/strong', weak.access_token, 401,
    { error: 'insufficient_user_authentication', acr_values: `${MFA} urn:test:better` });
  assert.equal(told.error_description,
    `the user logged in by '${PASSWORD}' (acr); it must be one of '${MFA}', 'urn:test:better'`);

  const again = await login(browser);
  assert.equal(claimsOf(again.access_token).acr, PASSWORD, 'without acr_values nothing changes');
  const strong = await login(browser, { acr_values: told.acr_values });
  assert.equal(claimsOf(strong.access_token).acr, MFA);
  assert.equal((await ask('/api/strong', strong.access_token)).status, 200);
  await challenged('/api/strong', weak.access_token, 401,
    { error: 'insufficient_user_authentication', acr_values: `${MFA} urn:test:better` });
});

test('step-up by max_auth_age: an old login is told the age, and a fresh one is let in', LIMIT, async () => {
  provider.person = ({ max_age: most }) => ({ age: most === undefined ? 3600 : 0 });
  const browser = new Browser();
  const old = await login(browser);
  const told = await challenged('/api/recent', old.access_token, 401,
    { error: 'insufficient_user_authentication', max_age: '300' });
  assert.match(told.error_description,
    /^the user logged in at .*; current time .*; at most 5 min are accepted here, allowed clock skew 0 s$/);

  const fresh = await login(browser, { max_age: told.max_age });
  const age = Date.now() / 1000 - claimsOf(fresh.access_token).auth_time;
  assert.ok(age < 60, `logged in ${age} s ago`);
  assert.equal((await ask('/api/recent', fresh.access_token)).status, 200);
});

test('a token that does not tell about a login is asked to step up', LIMIT, async () => {
  const tokens = await client.clientCredentialsGrant(machine, { resource, scope: 'orders:read' });
  for (const [path, parameters] of [['/api/strong', { acr_values: `${MFA} urn:test:better` }],
    ['/api/recent', { max_age: '300' }]]) {
    await challenged(path, tokens.access_token, 401,
      { error: 'insufficient_user_authentication', ...parameters });
  }
});

test('a login that does not do is told before a scope that is missing', LIMIT, async () => {
  provider.person = ({ acr_values: wanted }) => ({ acr: wanted ?? PASSWORD });
  const browser = new Browser();
  const weak = await login(browser);
  const told = await challenged('/api/both', weak.access_token, 401,
    { error: 'insufficient_user_authentication', acr_values: MFA, max_age: '300' });

  const { acr_values, max_age } = told;
  const strong = await login(browser, { acr_values, max_age });
  const lacking = await challenged('/api/both', strong.access_token, 403,
    { error: 'insufficient_scope', scope: 'orders:write' });

  const full = await login(browser, { acr_values, max_age, scope: `openid ${lacking.scope}` });
  assert.equal((await ask('/api/both', full.access_token)).status, 200);
});
