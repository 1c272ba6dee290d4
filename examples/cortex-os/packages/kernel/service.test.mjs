import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger } from '@cortex-os/observability';
import { releaseFrom, scopeOf, secret, setting, startService, watchDependencies, watchLive } from './index.mjs';

const log = createLogger({ service: 'test', write: () => {} });
const until = async (condition) => {
  for (let i = 0; i < 200 && !condition(); i += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(condition());
};

test('a missing setting, secret or release name is one clear sentence without the value', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kernel-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'key'), 's3cret\n');
  writeFileSync(join(folder, 'empty'), '\n');
  assert.equal(secret('KEY', { KEY_FILE: join(folder, 'key') }), 's3cret');
  assert.throws(() => secret('KEY', { KEY_FILE: join(folder, 'empty') }), /KEY_FILE: .* is empty/);
  assert.throws(() => secret('KEY', { KEY_FILE: join(folder, 'gone') }), /KEY_FILE: cannot read .* \(ENOENT\)/);
  assert.throws(() => setting('NATS_URL', undefined, {}), /NATS_URL is not set/);
  assert.equal(releaseFrom({}), 'dev');
  for (const bad of ['live', 'R 12', 'a.b']) assert.throws(() => releaseFrom({ CORTEX_RELEASE: bad }), /CORTEX_RELEASE: found/);
});

test('a service answers its probes, and is not ready while what it needs is down', async (t) => {
  let reachable = false;
  const service = await startService({
    name: 'test', port: 0, lingerMs: 0, env: { HOST: '127.0.0.1', CORTEX_RELEASE: 'r3' }, write: () => {},
    setup: () => ({
      dependencies: [
        { name: 'store', check: async () => { if (!reachable) throw new Error('refused'); } },
        { name: 'model', need: 'optional', check: async () => { throw new Error('absent'); } },
      ],
      details: () => ({ active: true }),
    }),
  });
  t.after(() => service.stop());
  const get = async (path) => { const answer = await fetch(`http://127.0.0.1:${service.port}${path}`); return [answer.status, await answer.text()]; };
  assert.deepEqual(await get('/live'), [200, '{"status":"ok"}']);
  assert.deepEqual(await get('/ready'), [503, '{"ready":false,"reasons":["store: refused"]}']);
  assert.equal((await get('/health'))[0], 503);
  reachable = true;
  await new Promise((resolve) => setTimeout(resolve, 1050));
  assert.equal((await get('/ready'))[0], 200);
  const [status, health] = await get('/health');
  assert.equal(status, 200);
  assert.match(health, /"status":"degraded"/);
  assert.match((await get('/metrics'))[1], /cortex_release_info\{service="test",release="r3",revision="unknown"\} 1/);
  assert.equal((await get('/version'))[1], '{"service":"test","release":"r3","revision":"unknown"}');
});

test('a part that is needed once may be lost later, and one check serves all who ask', async () => {
  let up = false;
  let checks = 0;
  const watch = watchDependencies([{ name: 'cache', need: 'once', check: async () => { checks += 1; if (!up) throw new Error('refused'); } }], { ttlMs: 20 });
  assert.deepEqual((await Promise.all([watch.ready(), watch.ready()]))[1], { ready: false, reasons: ['cache: refused'] });
  assert.equal(checks, 1);
  const later = () => new Promise((resolve) => setTimeout(resolve, 30));
  up = true;
  await later();
  assert.equal((await watch.ready()).ready, true);
  up = false;
  await later();
  assert.equal((await watch.ready()).ready, true);
  assert.equal((await watch.report()).status, 'down');
});

test('a check that takes longer than its answer would count is not asked for again meanwhile', async () => {
  let checks = 0;
  let answer;
  const watch = watchDependencies([{ name: 'store', check: () => { checks += 1; return new Promise((resolve) => { answer = resolve; }); } }], { ttlMs: 1 });
  const first = watch.ready();
  await new Promise((resolve) => setTimeout(resolve, 10));
  const second = watch.ready();
  answer();
  assert.deepEqual(await Promise.all([first, second]), [{ ready: true, reasons: [] }, { ready: true, reasons: [] }]);
  assert.equal(checks, 1);
});

test('a check that hangs counts as down after its deadline', async () => {
  const watch = watchDependencies([{ name: 'store', check: () => new Promise(() => {}) }], { timeoutMs: 20 });
  assert.deepEqual(await watch.ready(), { ready: false, reasons: ['store: asking store took longer than 20 ms'] });
});

test('test tenants belong to the release that accepted them, all others to the live one', () => {
  assert.equal(scopeOf('test-a', 'r12'), 'r12');
  assert.equal(scopeOf('acme', 'r12'), 'live');
});

test('a release takes live work only while the switch names it, and keeps its state on errors', async (t) => {
  let live = 'r1';
  let broken = false;
  const server = createServer((_, answer) => { answer.statusCode = broken ? 500 : 200; answer.end(`${live}\n`); });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const watch = watchLive({ release: 'r2', url: `http://127.0.0.1:${server.address().port}/`, log, intervalMs: 10 });
  t.after(() => { watch.stop(); server.closeAllConnections(); server.close(); });
  await watch.first;
  assert.deepEqual(watch.scopes(), ['r2']);
  live = 'r2';
  await until(() => watch.active);
  assert.deepEqual(watch.scopes(), ['r2', 'live']);
  broken = true;
  live = 'r3';
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(watch.active, true);
  broken = false;
  await until(() => !watch.active);
});

test('without a switch a release is the live one; with one that does not answer it is not', async (t) => {
  assert.deepEqual(watchLive({ release: 'dev', log }).scopes(), ['dev', 'live']);
  const watch = watchLive({ release: 'r2', url: 'http://127.0.0.1:1/', log });
  t.after(() => watch.stop());
  await watch.first;
  assert.equal(watch.active, false);
});
