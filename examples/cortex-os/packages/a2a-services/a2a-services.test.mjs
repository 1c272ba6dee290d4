import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem, startService } from '@cortex-os/kernel';
import { a2aClient, a2aRoutes, asTask, order, readOrder, readReport, report } from './index.mjs';

test('a message sent over HTTP arrives with its tenant, text and key, and comes back as a task', async (t) => {
  const seen = [];
  const brain = {
    send: async (message) => { seen.push(message); return { kind: 'task', id: '1' }; },
    get: async () => { throw new Problem(404, 'not_found', 'no such task'); },
    list: async (tenant) => [tenant], deleteTenant: async (tenant) => ({ tenant }),
  };
  const service = await startService({ name: 'brain', port: 0, lingerMs: 0, env: { HOST: '127.0.0.1' }, write: () => {},
    setup: () => ({ routes: a2aRoutes({ name: 'brain', description: '', release: 'r1' }, brain) }) });
  t.after(() => service.stop());
  const client = a2aClient(`http://127.0.0.1:${service.port}`, 'brain');
  assert.deepEqual(await client.send({ tenant: 'acme', text: 'hello', key: 'k1' }), { kind: 'task', id: '1' });
  assert.deepEqual(seen, [{ tenant: 'acme', text: 'hello', key: 'k1' }]);
  assert.deepEqual(await client.list('acme'), ['acme']);
  assert.deepEqual(await client.deleteTenant('acme'), { tenant: 'acme' });
  await assert.rejects(client.get('acme', '2'), (error) => error.status === 404 && error.code === 'not_found' && error.message === 'no such task');
  const card = await (await fetch(`http://127.0.0.1:${service.port}/.well-known/agent-card.json`)).json();
  assert.equal(card.version, 'r1');
});

test('an order and a report survive the way over the bus, and nothing else is taken for one', () => {
  const work = { taskId: '1', tenant: 'acme', kind: 'task', text: 'hello', plan: { goal: 'hello' }, hops: [] };
  assert.deepEqual(readOrder(JSON.parse(JSON.stringify(order(work)))), work);
  const outcome = { taskId: '1', tenant: 'acme', kind: 'task', state: 'completed', result: { n: 1 } };
  assert.deepEqual(readReport(JSON.parse(JSON.stringify(report(outcome)))), outcome);
  for (const bad of [null, {}, report(outcome)]) assert.throws(() => readOrder(bad), /no order/);
  for (const bad of [null, {}, order(work), report({ ...outcome, state: 'working' })]) assert.throws(() => readReport(bad), /no report/);
});

test('a stored task reads as an A2A task, its result as an artifact', () => {
  const stored = { id: '1', tenant: 'acme', text: 'hello', state: 'completed', plan: { goal: 'hello' }, result: { n: 1 }, createdAt: 'a', updatedAt: 'b', relayedAt: 'c' };
  const task = asTask(stored, { cache: 'hit' });
  assert.deepEqual(task.status, { state: 'completed', timestamp: 'b' });
  assert.deepEqual(task.artifacts[0].parts[0].data, { n: 1 });
  assert.deepEqual(task.metadata, { plan: { goal: 'hello' }, createdAt: 'a', relayedAt: 'c', cache: 'hit' });
  assert.deepEqual(asTask({ ...stored, result: null }).artifacts, []);
});
