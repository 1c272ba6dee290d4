// Postgres, Redis and NATS are stand-ins of a few lines here; the real ones are met in tests/integration.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readOrder } from '@cortex-os/a2a-services';
import { createLogger } from '@cortex-os/observability';
import { createBrain } from './brain.mjs';
import { databaseConfig } from './database.mjs';
import { checkSchema, readMigrations } from './migrations.mjs';
import { startRelay } from './relay.mjs';

const log = createLogger({ service: 'test', write: () => {} });

function parts({ forgetWaitMs = 10_000 } = {}) {
  const tasks = new Map();
  const outbox = [];
  const cached = new Map();
  const store = {
    async add(entry) {
      const earlier = [...tasks.values()].find(({ tenant, key }) => tenant === entry.tenant && key === entry.key);
      if (earlier) return { task: earlier, repeated: true };
      const task = { ...entry, state: 'submitted', createdAt: 'then', updatedAt: 'then' };
      tasks.set(task.id, task);
      outbox.push(entry);
      return { task, repeated: false };
    },
    get: async (id) => tasks.get(id),
    list: async (tenant) => [...tasks.values()].filter((task) => task.tenant === tenant),
    transaction: (work) => work({}),
    removeTenant: async (tenant) => { const ids = [...tasks.values()].filter((task) => task.tenant === tenant).map(({ id }) => id); ids.forEach((id) => tasks.delete(id)); return { ids, outbox: 0 }; },
    remove: async (id) => { tasks.delete(id); },
    finish: async ({ taskId, state, result }) => Object.assign(tasks.get(taskId) ?? {}, { state, result }),
  };
  const cache = {
    async through(key, _, make, keep) {
      if (cached.has(key)) return { value: cached.get(key), cache: 'hit' };
      const value = await make();
      if (keep(value)) cached.set(key, value);
      return { value, cache: 'miss' };
    },
    forget: async (keys) => keys.forEach((key) => cached.delete(key)),
  };
  const bus = { purge: async () => {} };
  return { tasks, outbox, brain: createBrain({ store, cache, bus, release: 'r2', kick: () => {}, forgetWaitMs }) };
}

test('a task is planned and stored with the order for the agents, in the scope of its tenant', async () => {
  const { brain, outbox } = parts();
  const task = await brain.send({ tenant: 'test-a', text: 'sum of 1 and 2' });
  assert.equal(task.status.state, 'submitted');
  assert.equal(task.metadata.plan.tool.name, 'sum');
  await brain.send({ tenant: 'acme', text: 'hello' });
  assert.deepEqual(outbox.map(({ scope }) => scope), ['r2', 'live']);
  const { taskId, tenant, kind, hops } = readOrder(outbox[0].body);
  assert.deepEqual({ taskId, tenant, kind, service: hops[0].service }, { taskId: task.id, tenant: 'test-a', kind: 'task', service: 'cortex-os' });
});

test('the same key makes one task', async () => {
  const { brain, outbox } = parts();
  const first = await brain.send({ tenant: 'acme', text: 'hello', key: 'k' });
  const second = await brain.send({ tenant: 'acme', text: 'hello', key: 'k' });
  assert.deepEqual([second.id, second.metadata.repeated, outbox.length], [first.id, true, 1]);
});

test('input that breaks the rules, another tenant\'s task and an unknown one are refused', async () => {
  const { brain } = parts();
  const { id } = await brain.send({ tenant: 'acme', text: 'hello' });
  await assert.rejects(brain.send({ tenant: 'a.b', text: 'hello' }), { status: 400 });
  await assert.rejects(brain.send({ tenant: 'acme', text: '' }), { status: 400 });
  await assert.rejects(brain.get('other', id), { status: 404 });
  await assert.rejects(brain.get('acme', '00000000-0000-4000-8000-000000000000'), { status: 404 });
});

test('only a finished task is cached', async () => {
  const { brain } = parts();
  const { id } = await brain.send({ tenant: 'acme', text: 'hello' });
  const read = async () => { const { status, metadata } = await brain.get('acme', id); return [status.state, metadata.cache]; };
  assert.deepEqual([await read(), await read()], [['submitted', 'miss'], ['submitted', 'miss']]);
  await brain.finish({ taskId: id, tenant: 'acme', kind: 'task', state: 'completed', result: {} });
  assert.deepEqual([await read(), await read()], [['completed', 'miss'], ['completed', 'hit']]);
});

test('a test tenant is deleted, its memories by an order to the agents; others never are', async () => {
  const { brain, tasks, outbox } = parts();
  const { id } = await brain.send({ tenant: 'test-a', text: 'hello' });
  await brain.finish({ taskId: id, tenant: 'test-a', kind: 'task', state: 'completed', result: {} });
  await brain.get('test-a', id);
  const deleting = brain.deleteTenant('test-a');
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { taskId, kind } = readOrder(outbox.at(-1).body);
  assert.equal(kind, 'forget');
  await brain.finish({ taskId, tenant: 'test-a', kind, state: 'completed', result: {} });
  assert.deepEqual(await deleting, { tasks: 1, outbox: 0, memories: 'deleted' });
  await assert.rejects(brain.get('test-a', id), { status: 404 });
  assert.equal(tasks.size, 0);
  assert.equal((await parts({ forgetWaitMs: 0 }).brain.deleteTenant('test-a')).memories, 'pending');
  await assert.rejects(brain.deleteTenant('acme'), { status: 403 });
});

test('the relay sends only what its release may take, and goes on after the bus was away', async () => {
  const waiting = [{ id: '1', scope: 'r2', tenant: 'test-a' }, { id: '2', scope: 'live', tenant: 'acme' }];
  const sent = [];
  let scopes = ['r2'];
  let away = true;
  const store = { async relay(allowed, _, send) {
    const rows = waiting.filter(({ scope, done }) => allowed.includes(scope) && !done);
    for (const row of rows) { await send(row); row.done = true; }
    return rows.length;
  } };
  const bus = { publish: async (prefix, { scope, tenant }, _, id) => { if (away) throw new Error('away'); sent.push(`${id} ${prefix}.${scope}.${tenant}`); } };
  const relay = startRelay({ store, bus, live: { scopes: () => scopes }, lifeMs: 1000, log });
  const settled = async () => { await new Promise((resolve) => setTimeout(resolve, 10)); relay.kick(); await new Promise((resolve) => setTimeout(resolve, 10)); };
  await settled();
  assert.deepEqual(sent, []);
  const until = async (count) => { for (let i = 0; i < 200 && sent.length < count; i += 1) await settled(); };
  away = false;
  await until(1);
  assert.deepEqual(sent, ['1 tasks.r2.test-a']);
  scopes = ['r2', 'live'];
  await until(2);
  await relay.stop();
  assert.deepEqual(sent, ['1 tasks.r2.test-a', '2 tasks.live.acme']);
});

test('the migrations keep their rules, and this release accepts the head that they make', async () => {
  const migrations = await readMigrations();
  const { min, max } = JSON.parse(readFileSync(new URL('./schema.json', import.meta.url), 'utf8'));
  assert.equal(max, migrations.length);
  assert.ok(min >= 1 && min <= max);
});

test('a migration with a gap, without its kind or with a wrong name is refused by name', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  t.after(() => rm(folder, { recursive: true }));
  const refused = async (file, content, why) => { await writeFile(join(folder, file), content); await assert.rejects(readMigrations(folder), why); await rm(join(folder, file)); };
  await refused('0002_gap.sql', '-- compatible\n', /0002_gap\.sql: expected number 0001/);
  await refused('0001_kind.sql', 'SELECT 1;\n-- compatible\n', /0001_kind\.sql: its first line must be/);
  await refused('1_name.sql', '-- compatible\n', /1_name\.sql: expected a name/);
});

test('a release runs on a newer schema only over compatible migrations', async () => {
  const at = (...rows) => ({ query: async () => ({ rows: rows.map((compatible, i) => ({ version: i + 1, compatible })) }) });
  await checkSchema(at(true, true), { min: 2, max: 2 });
  await checkSchema(at(true, true, true), { min: 2, max: 2 });
  await assert.rejects(checkSchema(at(true), { min: 2, max: 2 }), /schema is at 1, this release needs 2/);
  await assert.rejects(checkSchema(at(true, true, false), { min: 2, max: 2 }), /breaking migration 3/);
});

test('the database\'s address and its password come from different places', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'secret-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'password'), 'p@ss/w%rd\n');
  const { host, port, user, database, password } = databaseConfig({ DATABASE_URL: 'postgresql://cortex@postgres:5432/cortex', DATABASE_PASSWORD_FILE: join(folder, 'password') });
  assert.deepEqual({ host, port, user, database, password }, { host: 'postgres', port: 5432, user: 'cortex', database: 'cortex', password: 'p@ss/w%rd' });
});
