// The page of the admin listener, in a real browser, of a daemon with a real provider.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { Bearerd, eventually, freePort } from './bearerd.mjs';
import { TestProvider } from './provider.mjs';

const BROWSER = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
  .find((file) => file && existsSync(file));
const LIMIT = { timeout: 120_000, skip: BROWSER ? false : 'needs Chromium; CHROMIUM is its path' };
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SCREENSHOTS = resolve(ROOT, process.env.BUILD ?? 'build', 'e2e', 'screenshots');
const PHONE = { width: 360, height: 740 }, TABLET = { width: 768, height: 1024 }, DESK = { width: 1280, height: 900 };
const HOSTILE = '<img src=x onerror=alert(1)>';

let provider, daemon, admin, browser, token;

function settings(issuer, adminPort) {
  return {
    admin: { address: `127.0.0.1:${adminPort}` },
    issuers: [{ issuer, audiences: ['api'], refresh_cooldown: '1s', leeway: '0s' }],
    routes: [
      { path: '/', respond: 'identity', anonymous: 'allow' },
      { path: '/profile/', methods: ['GET'], respond: 'profile', require: { scopes: ['profile'] } },
    ],
  };
}

async function startDaemon(adminPort) {
  const started = await Bearerd.start({ settings: () => settings(provider.issuer, adminPort) });
  await eventually('keys', async () => (await started.get('/profile/', token)).status === 200);
  return started;
}

before(async () => {
  if (LIMIT.skip) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  provider = await new TestProvider().start();
  token = await provider.token();
  const port = await freePort();
  admin = `http://127.0.0.1:${port}`;
  daemon = await startDaemon(port);
  browser = await chromium.launch({ executablePath: BROWSER, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
  // Something to show: refusals of several kinds, one with a path that is a stranger's HTML.
  for (let i = 0; i < 3; i++) await daemon.get('/profile/');
  await daemon.get('/profile/', forged(token));
  await daemon.get('/profile/', await provider.token({ scope: 'openid' }));
  await daemon.get(`/${encodeURIComponent(HOSTILE)}`, token);
}, LIMIT);

after(async () => {
  await browser?.close();
  await daemon?.stop();
  await provider?.stop();
}, LIMIT);

// --- tokens -----------------------------------------------------------------------------------------

const encode = (text) => Buffer.from(text).toString('base64url');

// The same token, its signature made of zeros.
function forged(whole) {
  const [header, claims, signature] = whole.split('.');
  return [header, claims, encode(Buffer.alloc(Buffer.from(signature, 'base64url').length))].join('.');
}

// --- a page, watched --------------------------------------------------------------------------------

// A page in a context of its own. Nothing may go wrong in it that the test does not allow.
async function open(address = admin, { viewport = DESK, colorScheme = 'light', ...others } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce', ...others });
  const page = await context.newPage();
  const found = { faults: [], requests: [] };
  page.on('console', (message) => found.faults.push(`console ${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => found.faults.push(`uncaught: ${error}`));
  page.on('request', (request) => found.requests.push(request));
  await page.exposeFunction('onViolation', (what) => found.faults.push(`against the policy: ${what}`));
  await page.addInitScript(() => {
    globalThis.document.addEventListener('securitypolicyviolation', (event) =>
      globalThis.onViolation(`${event.effectiveDirective} ${event.blockedURI}`));
  });
  const response = await page.goto(address);
  return { context, page, found, response };
}

const asked = (found, path) => found.requests.filter((request) => new URL(request.url()).pathname === path);
const shown = (page) => page.locator('#facts dd').first().waitFor();

async function explain(page, { text, url = '', method = 'GET' }) {
  await page.getByRole('button', { name: 'Clear' }).click();
  await page.getByLabel('Token', { exact: true }).fill(text);
  await page.getByLabel('URL or path').fill(url);
  await page.getByLabel('Method').selectOption(method);
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('#verdict .call').waitFor();
  return page.locator('#verdict').innerText();
}

async function json(path, options) {
  return (await fetch(admin + path, { headers: { connection: 'close' }, ...options })).json();
}

// --- tests ------------------------------------------------------------------------------------------

test('the page is confined by its headers and needs nothing but itself and the API', LIMIT, async () => {
  const { context, page, found, response } = await open();
  await shown(page);
  const headers = response.headers();
  assert.equal(response.status(), 200);
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(headers['cache-control'], 'no-store');
  assert.match(headers['content-security-policy'], /^default-src 'none'; script-src 'nonce-[\w-]{22,}';/);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['referrer-policy'], 'no-referrer');
  for (const request of found.requests) {
    const { origin, pathname, protocol } = new URL(request.url());
    if (protocol !== 'data:') assert.ok(origin === admin && ['/', '/api/status'].includes(pathname), request.url());
  }
  // What the policy is for: had its script a hole, this would still not run.
  await page.evaluate(() => {
    const script = document.createElement('script');
    try { script.textContent = 'globalThis.ran = true'; } catch { return; }
    document.body.append(script);
  });
  assert.equal(await page.evaluate(() => globalThis.ran), undefined);
  assert.equal(await page.evaluate(() => { try { document.body.innerHTML = '<p>'; return 'set'; } catch { return 'refused'; } }), 'refused');
  await eventually('the violation is seen', () => found.faults.some((fault) => fault.startsWith('against')));
  await context.close();
});

test('it shows state, issuers, keys, routes and refusals as the API tells them', LIMIT, async () => {
  const { context, page, found } = await open();
  await shown(page);
  const status = await json('/api/status');
  const text = await page.locator('body').innerText();

  assert.equal(await page.locator('#state').innerText(), 'Ready');
  assert.match(await page.title(), /^bearerd – 127\.0\.0\.1:/);
  assert.ok((await page.locator('h1').innerText()).includes(status.version));
  assert.ok(text.includes(provider.issuer));
  for (const key of status.issuers[0].keys) assert.ok(text.includes(key.kid), key.kid);
  assert.equal(status.issuers[0].keys.length > 0, true);
  for (const route of status.routes) assert.ok(text.includes(route.path), route.path);
  for (const reason of ['no_credentials', 'signature_invalid', 'scope_missing']) {
    const { count, advice } = status.refusals.find((one) => one.reason === reason);
    const row = page.locator('#reasons tr', { hasText: reason });
    assert.equal(await row.getByRole('cell').nth(1).innerText(), String(count));
    assert.ok((await row.innerText()).includes(advice), advice);
    assert.ok(await page.locator('#last tr', { hasText: reason }).count() > 0, `last refusals: ${reason}`);
  }
  assert.ok((await page.locator('#notices').innerText()).startsWith('Nothing needs attention'));
  // A rate needs two answers.
  await eventually('requests a second', async () => /^\d/.test(await page.locator('#facts dd').first().innerText()));
  assert.deepEqual(found.faults, []);
  await context.close();
});

test('what strangers sent is text, never HTML', LIMIT, async () => {
  const { context, page, found } = await open();
  await shown(page);
  assert.ok((await page.locator('#last').innerText()).includes('img'), 'the path is shown');
  const [, claims, signature] = token.split('.');
  const header = encode(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: HOSTILE }));
  const verdict = await explain(page, { text: [header, claims, signature].join('.') });
  assert.ok(verdict.includes(HOSTILE), verdict);
  assert.equal(await page.locator('img').count(), 0);
  assert.deepEqual(found.faults, []);
  await context.close();
});

test('a good token is allowed, however it was copied', LIMIT, async () => {
  const { context, page, found } = await open();
  for (const text of [token, `Bearer ${token}`, `"${token}"`, `Authorization: Bearer\n  ${token.replaceAll('.', '.\n')}\n`]) {
    const verdict = await explain(page, { text });
    assert.match(verdict, /^Allowed: 200/);
    assert.ok(await page.locator('#verdict li').count() >= 5, 'steps');
    assert.equal(await page.locator('#verdict li', { hasText: 'failed' }).count(), 0);
  }
  assert.match(await explain(page, { text: token, url: '/profile/' }), /^Allowed: 200[^]*\/profile\//);
  for (const request of found.requests)
    for (const part of token.split('.')) assert.ok(!request.url().includes(part), request.url());
  assert.equal(asked(found, '/api/explain').length, 5);
  assert.deepEqual(found.faults, []);
  await context.close();
});

test('a bad token is refused, with the status, the challenge and what to change', LIMIT, async () => {
  const { context, page, found } = await open();
  const short = await provider.token({ ttl: 1 });
  await eventually('the token expires', async () => (await daemon.get('/profile/', short)).status === 401);
  const narrow = await provider.token({ scope: 'openid' });
  const rows = [
    { text: forged(token), status: 401, reason: 'signature_invalid', step: 'signature', challenge: 'error="invalid_token"' },
    { text: short, status: 401, reason: 'token_expired', challenge: 'error="invalid_token"' },
    { text: narrow, url: '/profile/', status: 403, reason: 'scope_missing', challenge: 'scope="profile"' },
    { text: 'not-a-token', status: 401, reason: 'token_malformed', challenge: 'error="invalid_token"' },
    { text: '', url: '/profile/', status: 401, reason: 'no_credentials', challenge: 'Bearer realm=' },
    { text: token, url: '/nowhere', status: 404, reason: 'no_route' },
    { text: token, url: '/profile/', method: 'DELETE', status: 405, reason: 'method_not_allowed' },
  ];
  for (const { text, url, method, status, reason, step, challenge } of rows) {
    const verdict = await explain(page, { text, url, method });
    assert.ok(verdict.startsWith(`Refused: ${status} ${reason}`), verdict);
    assert.match(verdict, /To change: \w/);
    if (challenge) assert.ok(verdict.includes('WWW-Authenticate: ') && verdict.includes(challenge), verdict);
    if (step) assert.ok((await page.locator('#verdict li', { hasText: 'failed' }).innerText()).includes(step));
  }
  assert.deepEqual(found.faults, []);

  // These are told without asking.
  const before = asked(found, '/api/explain').length;
  assert.match(await explain(page, { text: '' }), /^Nothing to explain/);
  assert.match(await explain(page, { text: 'eyJ\u00e9' }), /Character 4 /);
  assert.equal(asked(found, '/api/explain').length, before);
  await context.close();
});

test('the pasted token is nowhere but in its box, and leaves that with the page', LIMIT, async () => {
  const { context, page } = await open();
  await explain(page, { text: token });
  const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.href]);
  assert.deepEqual(kept, [0, 0, '', `${admin}/`]);
  assert.equal(await page.evaluate((secret) => document.documentElement.outerHTML.includes(secret), token.split('.')[2]), false);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
  assert.equal(await page.locator('#token').inputValue(), '');
  assert.equal(await page.locator('#verdict').isVisible(), false);

  await page.locator('#token').fill(token);
  await page.goto('about:blank');
  await page.goBack();
  await page.locator('#token').waitFor();
  assert.equal(await page.locator('#token').inputValue(), '');
  await context.close();
});

test('the refresh button has the keys fetched anew', LIMIT, async () => {
  const { context, page, found } = await open();
  await shown(page);
  const before = provider.hits.jwks;
  await page.getByRole('button', { name: 'Refresh all keys now' }).click();
  await eventually('the provider is asked', () => provider.hits.jwks > before);
  await eventually('the page says so', async () => (await page.locator('#refreshed').innerText()).startsWith('1 issuer is asked'));
  assert.equal(asked(found, '/api/refresh')[0].method(), 'POST');
  assert.deepEqual(found.faults, []);
  await context.close();
});

test('a reason pressed is shown alone, and the chart is read out by keys', LIMIT, async () => {
  const { context, page, found } = await open();
  await shown(page);
  const button = page.getByRole('button', { name: 'scope_missing' });
  await button.focus();
  await page.keyboard.press('Enter');
  assert.equal(await button.getAttribute('aria-pressed'), 'true');
  assert.equal(await page.locator('#last tbody tr').count(), await page.locator('#last tbody tr', { hasText: 'scope_missing' }).count());
  const polls = asked(found, '/api/status').length;
  await eventually('another poll', () => asked(found, '/api/status').length > polls, 15_000);
  assert.equal(await button.evaluate((element) => element === document.activeElement), true, 'the focus is kept');
  await page.keyboard.press('Enter');
  assert.equal(await button.getAttribute('aria-pressed'), 'false');

  await page.locator('#chart').focus();
  await page.keyboard.press('End');
  assert.match(await page.locator('#readout').innerText(), /^\d\d:\d\d: \d+ refused/);
  await page.keyboard.press('Escape');
  await page.getByText('The chart as a table').click();
  const hour = page.locator('#chart-table tr', { hasText: 'no_credentials' }).locator('td').last();
  assert.ok(Number(await hour.innerText()) >= 3);
  assert.deepEqual(found.faults, []);
  await context.close();
});

test('it asks every five seconds while it is seen, not while it is hidden or paused', LIMIT, async () => {
  const context = await browser.newContext({ viewport: DESK });
  const page = await context.newPage();
  let polls = 0;
  page.on('response', (response) => { polls += response.url().endsWith('/api/status'); });
  // Its five seconds, and the two before the second poll, go by in a tenth of the time.
  await page.addInitScript(() => {
    const { setTimeout } = globalThis;
    globalThis.waits = [];
    globalThis.setTimeout = (call, ms, ...others) => {
      if (ms !== 2000 && ms !== 5000) return setTimeout(call, ms, ...others);
      globalThis.waits.push(ms);
      return setTimeout(call, ms / 10, ...others);
    };
  });
  const more = async (name) => {
    const before = polls;
    await eventually(name, () => polls > before);
  };
  const rests = async (name) => {
    await sleep(100); // for one that is on its way
    const before = polls;
    await sleep(1500);
    assert.equal(polls, before, name);
  };
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { value, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);

  await page.goto(admin);
  await eventually('polls', () => polls >= 4);
  const waits = await page.evaluate(() => globalThis.waits);
  assert.deepEqual(waits.slice(0, 3), [2000, 5000, 5000]);
  await hide(true);
  await rests('hidden');
  await hide(false);
  await more('seen again');
  await page.getByRole('button', { name: 'Pause' }).click();
  await rests('paused');
  await hide(true);
  await hide(false);
  await rests('paused, and seen again');
  await page.getByRole('button', { name: 'Resume' }).click();
  await more('resumed');
  await more('and on');
  await context.close();
});

test('a daemon that does not answer is told, with since when, until it answers again', LIMIT, async () => {
  const port = await freePort();
  let other = await startDaemon(port);
  const { context, page } = await open(`http://127.0.0.1:${port}`);
  const askNow = async () => {
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Resume' }).click();
  };
  try {
    await shown(page);
    assert.equal(await page.getByRole('alert').count(), 0);
    await other.stop();
    other = null;
    await askNow();
    await page.getByRole('alert').waitFor();
    assert.match(await page.getByRole('alert').innerText(), /does not answer since \d\d:\d\d:\d\d/);
    assert.equal(await page.locator('#state').innerText(), 'No answer');
    assert.match(await page.title(), /^No answer/);
    assert.match(await page.locator('#lost-long').innerText(), /Everything below is from \d\d:\d\d:\d\d/);
    await page.screenshot({ path: join(SCREENSHOTS, 'page-lost.png') });
    assert.match(await explain(page, { text: token }), /^There is no verdict/);

    other = await startDaemon(port);
    await askNow();
    await eventually('it is back', async () => await page.locator('#state').innerText() === 'Ready');
    assert.equal(await page.getByRole('alert').count(), 0);
  } finally {
    await other?.stop();
    await context.close();
  }
});

test('an issuer without keys is the first thing that it says', LIMIT, async () => {
  const port = await freePort();
  const nowhere = `http://127.0.0.1:${await freePort()}`;
  const other = await Bearerd.start({ settings: () => settings(nowhere, port) });
  const { context, page } = await open(`http://127.0.0.1:${port}`, { colorScheme: 'dark' });
  try {
    await shown(page);
    assert.equal(await page.locator('#state').innerText(), 'Not ready');
    assert.match(await page.title(), /^Not ready/);
    assert.ok((await page.locator('#notices').innerText()).includes(`No usable keys of ${nowhere}`));
    assert.match(await page.locator('#issuers').innerText(), /Not usable/);
    await page.screenshot({ path: join(SCREENSHOTS, 'page-not-ready.png') });
  } finally {
    await other.stop();
    await context.close();
  }
});

// --- for everyone -----------------------------------------------------------------------------------

// Runs in the page: what keeps people from reading or using it.
function barriers() {
  const list = [];
  const name = (element) => element.getAttribute('aria-label') || element.labels?.[0]?.innerText
    || element.getAttribute('aria-labelledby')?.split(' ').map((id) => document.getElementById(id)?.innerText).join(' ')
    || element.innerText || '';
  const seen = (element) => element.checkVisibility() && !element.closest('.sr, .skip, noscript');
  const say = (element, what) => list.push(`${element.tagName.toLowerCase()}#${element.id}.${element.getAttribute('class')}: ${what}`);

  // Names, and what they refer to.
  for (const element of document.querySelectorAll('button, a, input, select, textarea, section, [role=region], [role=group], nav'))
    if (seen(element) && !name(element).trim()) say(element, 'has no name');
  for (const attribute of ['aria-labelledby', 'aria-describedby', 'for'])
    for (const element of document.querySelectorAll(`[${attribute}]`))
      for (const id of element.getAttribute(attribute).split(' '))
        if (!document.getElementById(id)) say(element, `${attribute} names nothing`);
  for (const link of document.querySelectorAll('a[href^="#"]'))
    if (!document.querySelector(link.getAttribute('href'))) say(link, 'leads nowhere');
  for (const id of [...document.querySelectorAll('[id]')].map((element) => element.id))
    if (document.querySelectorAll(`#${CSS.escape(id)}`).length > 1) list.push(`#${id}: is there twice`);
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption) say(table, 'has no caption');
    if (!table.querySelector('thead th[scope=col]') || !table.querySelector('tbody th[scope=row]')) say(table, 'has no headers');
  }
  for (const svg of document.querySelectorAll('svg')) if (svg.getAttribute('aria-hidden') !== 'true') say(svg, 'is neither hidden nor named');
  if (!document.documentElement.lang || !document.querySelector('main')) list.push('no language, or no main part');

  // Headings go down by one.
  let level = 0;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
    if (!heading.checkVisibility()) continue;
    const next = Number(heading.tagName[1]);
    if (next > level + 1) say(heading, `follows a heading of level ${level}`);
    level = next;
  }

  // Contrast of every text with what it stands on (WCAG 2 success criterion 1.4.3).
  const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if ((colour[3] ?? 1) === 1) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !seen(element) || ['SCRIPT', 'STYLE', 'OPTION'].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parse(element instanceof SVGElement ? style.fill : style.color)), luminance(ground(element))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) say(element, `contrast ${ratio.toFixed(2)} of "${texts.currentNode.data.slice(0, 30)}"`);
    count++;
  }
  if (count < 50) list.push(`only ${count} texts were looked at`);

  // Something to hit (WCAG 2.2 success criterion 2.5.8), unless it stands in a line of text.
  for (const element of document.querySelectorAll('button, input, select, textarea, summary, nav a')) {
    const { width, height } = element.getBoundingClientRect();
    if (seen(element) && (width < 24 || height < 24)) say(element, `is ${width} x ${height} pixels`);
  }

  // Nothing sticks out to the side, except from what scrolls by itself: on a phone that is one table.
  const scrolls = innerWidth < 600 ? '#chart-table' : '.scroll';
  if (document.documentElement.scrollWidth > innerWidth) list.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const element of document.querySelectorAll('main *, header *')) {
    if (!seen(element) || element.closest(scrolls)) continue;
    const { right, left, width } = element.getBoundingClientRect();
    if (width > 1 && (right > innerWidth + 0.5 || left < -0.5)) say(element, `reaches from ${left} to ${right}`);
  }
  return list;
}

for (const [kind, viewport] of Object.entries({ phone: PHONE, tablet: TABLET, desk: DESK }))
  for (const colorScheme of ['light', 'dark'])
    test(`everyone can read and use it: ${kind}, ${colorScheme}`, LIMIT, async () => {
      const { context, page, found } = await open(admin, { viewport, colorScheme });
      await shown(page);
      await explain(page, { text: forged(token), url: '/profile/' });
      await page.getByText('The chart as a table').click();
      assert.deepEqual(await page.evaluate(barriers), []);
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: join(SCREENSHOTS, `page-${viewport.width}-${colorScheme}.png`), fullPage: true });
      assert.deepEqual(found.faults, []);

      // The examination does find something.
      await page.evaluate(() => {
        const sheet = new CSSStyleSheet();
        sheet.insertRule('.hint { color: #888 !important; background: #999; width: 2000px; }');
        document.adoptedStyleSheets = [sheet];
        document.querySelector('label[for=token]').remove();
      });
      const worse = (await page.evaluate(barriers)).join('\n');
      for (const what of ['contrast', 'reaches from', 'textarea#token']) assert.ok(worse.includes(what), what);
      await context.close();
    });

test('every control is reached by the Tab key, in order, and shows that it has the focus', LIMIT, async () => {
  const { context, page } = await open();
  await shown(page);
  const reached = [];
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const element = document.activeElement, style = getComputedStyle(element);
      return { id: element.id || element.getAttribute('href') || element.innerText, visible: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, body: element === document.body };
    });
    if (at.body) break;
    assert.ok(at.visible, `${at.id} shows no focus`);
    reached.push(at.id);
  }
  assert.equal(reached[0], '#token-panel');
  const order = ['pause', 'chart', 'refresh', 'token', 'method', 'url', 'Explain', 'Clear'];
  assert.deepEqual(reached.filter((id) => order.includes(id)), order);
  await context.close();
});
