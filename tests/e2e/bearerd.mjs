// bearerd as a child process of a test.
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = resolve(ROOT, process.env.BUILD ?? 'build', 'bearerd');

// Retry what() until it answers something true; an error after the deadline names what was awaited.
export async function eventually(name, what, within = 10_000) {
  const until = Date.now() + within;
  for (;;) {
    const result = await what();
    if (result) return result;
    if (Date.now() > until) throw new Error(`${name}: not within ${within} ms`);
    await sleep(20);
  }
}

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

function accepts(port) {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); done(true); });
    socket.once('error', () => done(false));
  });
}

// upstream: where paths under /up/ go. tls: {certificate, key, port} of a second listener.
function configuration({ port, state, issuer, leeway = '60s', upstream, tls }) {
  return `
listen:
  - {address: "127.0.0.1:${port}"}
${tls ? `  - {address: "127.0.0.1:${tls.port}", tls: {certificate: "${tls.certificate}", private_key: "${tls.key}"}}` : ''}
workers: 2
state_directory: "${state}"
issuers:
  - issuer: "${issuer}"
    audiences: [api]
    refresh_cooldown: 1s
    leeway: ${leeway}
    scopes: [openid]
routes:
  - {path: /, respond: identity, anonymous: allow}
  - {path: /profile/, respond: profile, require: {scopes: [profile]}}
${upstream ? '  - {path: /up/*, upstream: up}' : ''}
${upstream ? `upstreams: [{name: up, targets: ["${upstream}"]}]` : ''}
log: {format: json, level: info, access: false}
`;
}

// What every configuration made of settings has in common. JSON is YAML.
function configurationOf(settings, { port, state }) {
  return JSON.stringify({
    listen: [{ address: `127.0.0.1:${port}` }],
    workers: 2,
    state_directory: state,
    log: { format: 'json', level: 'info', access: true },
    ...settings,
  }, null, 2);
}

export class Bearerd {
  // folder: of an earlier one stopped with {keep: true}, whose state is to be found.
  // settings: makes the configuration of the URL at which the daemon will be, as an object.
  static async start(options) {
    const daemon = new Bearerd();
    daemon.folder = options.folder ?? await mkdtemp(join(tmpdir(), 'bearerd-e2e-'));
    daemon.port = await freePort();
    const file = join(daemon.folder, 'bearerd.yaml');
    const place = { port: daemon.port, state: daemon.folder };
    await writeFile(file, options.settings ? configurationOf(options.settings(daemon.url), place)
      : configuration({ ...options, ...place }));
    await daemon.#run(['-c', file], {});
    return daemon;
  }

  // No file, only the environment.
  static async startByEnvironment({ issuer }) {
    const daemon = new Bearerd();
    daemon.folder = await mkdtemp(join(tmpdir(), 'bearerd-e2e-'));
    daemon.port = await freePort();
    await daemon.#run([], {
      OIDC_ISSUER: issuer,
      OIDC_AUDIENCE: 'api',
      BEARERD_LISTEN: `127.0.0.1:${daemon.port}`,
    });
    return daemon;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  // The events that were logged, oldest first.
  get log() {
    return this.errors.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line));
  }

  async #run(options, environment) {
    this.errors = '';
    this.child = spawn(PROGRAM, options, {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child.stderr.on('data', (bytes) => { this.errors += bytes; });
    this.exited = new Promise((done) => this.child.once('exit', (code, signal) => done(code ?? signal)));
    this.child.once('error', (error) => { this.errors += error; });
    // A test process that ends at a failure takes its daemon and the folder along.
    this.abandon = () => {
      this.child.kill('SIGKILL');
      rmSync(this.folder, { recursive: true, force: true });
    };
    process.once('exit', this.abandon);
    await eventually('bearerd listens', async () => {
      if (this.child.exitCode !== null || !this.child.pid) throw new Error(`bearerd ended: ${this.errors}`);
      return accepts(this.port);
    });
  }

  // The exit code of an orderly stop. keep leaves the folder for the next start.
  async stop({ keep = false } = {}) {
    this.child.kill('SIGTERM');
    const code = await this.exited;
    process.removeListener('exit', this.abandon);
    if (!keep) await rm(this.folder, { recursive: true });
    return code;
  }

  // One request on a connection of its own: {status, headers, body}.
  get(path, token, method = 'GET', others = {}) {
    const headers = { ...(token && { authorization: `Bearer ${token}` }), ...others };
    return new Promise((done, failed) => {
      const sent = request({ host: '127.0.0.1', port: this.port, path, method, headers, agent: false,
        timeout: 10_000 }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text) => { body += text; });
        response.on('error', failed);
        response.on('end', () => done({ status: response.statusCode, headers: response.headers, body }));
      });
      sent.on('timeout', () => sent.destroy(new Error(`${path}: no answer`)));
      sent.on('error', failed);
      sent.end();
    });
  }
}
