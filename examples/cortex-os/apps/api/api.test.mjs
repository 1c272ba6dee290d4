// cortex-os is a stand-in here: a few lines behind the real A2A routes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { a2aClient, a2aRoutes, asTask } from '@cortex-os/a2a-services';
import { call, Problem, startService } from '@cortex-os/kernel';
import { signToken, signWebhook } from '@cortex-os/security';
import { apiRoutes } from './routes.mjs';

const KEY = 'k'.repeat(32);
const ID = '00000000-0000-4000-8000-000000000001';

async function serve(t, name, routes) {
  const service = await startService({ name, port: 0, lingerMs: 0, env: { HOST: '127.0.0.1' }, write: () => {}, setup: () => ({ routes }) });
  t.after(() => service.stop());
  return `http://127.0.0.1:${service.port}`;
}

async function api(t) {
  const sent = [];
  const stored = (tenant, text) => ({ id: ID, tenant, text, state: 'submitted', createdAt: 'a', updatedAt: 'b' });
  const brainUrl = await serve(t, 'cortex-os', a2aRoutes({ name: 'cortex-os', description: '', release: 'r1' }, {
    async send(message) {
      const repeated = sent.some(({ key }) => key === message.key);
      sent.push(message);
      return asTask(stored(message.tenant, message.text), { repeated });
    },
    async get(tenant, id) {
      if (tenant !== 'acme' || id !== ID) throw new Problem(404, 'not_found', 'no such task');
      return asTask({ ...stored(tenant, 'hello'), state: 'completed', result: { tool: {} } }, { cache: 'hit' });
    },
    list: async (tenant) => [asTask(stored(tenant, 'hello'))],
    deleteTenant: async () => ({ tasks: 1, outbox: 0, memories: 'deleted' }),
  }));
  const url = await serve(t, 'api', apiRoutes({ brain: a2aClient(brainUrl, 'cortex-os'), tokenKey: KEY, webhookSecret: 'secret' }));
  const ask = (method, path, json, { tenant = 'acme', ...headers } = {}) => call(url + path, {
    part: 'api', method, json, headers: { ...(tenant && { authorization: `Bearer ${signToken({ sub: 'ada', tenant }, KEY)}` }), ...headers },
  });
  return { ask, sent, url };
}

test('a task is taken for the tenant of the token, and read back with its result and how it was read', async (t) => {
  const { ask, sent } = await api(t);
  const taken = await ask('POST', '/v1/tasks', { text: 'hello', tenant: 'other' }, { 'idempotency-key': 'k1' });
  assert.deepEqual([taken.status, taken.json.tenant, taken.json.state, taken.headers.get('location')], [202, 'acme', 'submitted', `/v1/tasks/${ID}`]);
  assert.deepEqual(sent, [{ tenant: 'acme', text: 'hello', key: 'k1' }]);
  assert.equal((await ask('POST', '/v1/tasks', { text: 'hello' }, { 'idempotency-key': 'k1' })).status, 200);
  const { json } = await ask('GET', `/v1/tasks/${ID}`);
  assert.deepEqual([json.state, json.result, json.cache], ['completed', { tool: {} }, 'hit']);
  assert.equal((await ask('GET', '/v1/tasks')).json.tasks[0].text, 'hello');
});

test('without a token, with another tenant\'s, or with bad input nothing is done', async (t) => {
  const { ask, sent } = await api(t);
  assert.equal((await ask('POST', '/v1/tasks', { text: 'x' }, { tenant: '' })).status, 401);
  assert.equal((await ask('GET', `/v1/tasks/${ID}`, undefined, { tenant: 'other' })).status, 404);
  assert.equal((await ask('GET', '/v1/tasks/..%2f')).status, 400);
  assert.equal((await ask('POST', '/v1/tasks', { text: '' })).status, 400);
  assert.equal((await ask('POST', '/v1/tasks', null)).status, 400);
  assert.equal((await ask('DELETE', '/v1/tenants/test-b', undefined, { tenant: 'test-a' })).status, 403);
  assert.deepEqual(sent, []);
});

test('a signed webhook is taken once; a repeated, altered or unsigned one is not', async (t) => {
  const { url, sent } = await api(t);
  const body = JSON.stringify({ tenant: 'acme', text: 'from outside' });
  const post = async (content, headers) => (await fetch(`${url}/webhooks/tasks`, { method: 'POST', body: content, headers })).status;
  const headers = signWebhook(body, 'secret', Math.floor(Date.now() / 1000));
  assert.equal(await post(body, headers), 202);
  assert.equal(await post(body, headers), 409);
  assert.equal(await post(body.replace('outside', 'inside'), headers), 401);
  assert.equal(await post(body, {}), 401);
  assert.equal(sent[0].tenant, 'acme');
});

test('a slow request is bounded', async (t) => {
  const { ask } = await api(t);
  assert.deepEqual((await ask('GET', '/slow?ms=30')).json, { waited: 30 });
  assert.deepEqual((await ask('GET', '/slow?ms=no')).json, { waited: 0 });
});

test('told to end, the process answers what it has in hand, and exits in order', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'api-'));
  t.after(() => rm(folder, { recursive: true }));
  const key = join(folder, 'key');
  await writeFile(key, KEY);
  const main = spawn(process.execPath, [fileURLToPath(new URL('./main.mjs', import.meta.url))], {
    env: { ...process.env, PORT: '0', HOST: '127.0.0.1', CORTEX_OS_URL: 'http://127.0.0.1:1', TOKEN_KEY_FILE: key, WEBHOOK_SECRET_FILE: key },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => main.kill('SIGKILL'));
  const ended = once(main, 'exit');
  const lines = createInterface({ input: main.stdout })[Symbol.asyncIterator]();
  const line = async () => JSON.parse((await lines.next()).value ?? '{}');
  const { port } = await line();
  const url = `http://127.0.0.1:${port}`;
  const slow = fetch(`${url}/slow?ms=1500`); // longer than new connections are still taken
  await fetch(`${url}/live`);
  main.kill('SIGTERM');
  assert.equal((await line()).msg, 'stopping on SIGTERM');
  const answer = await slow;
  assert.deepEqual([answer.status, answer.headers.get('connection'), await answer.json()], [200, 'close', { waited: 1500 }]);
  assert.deepEqual(await ended, [0, null]);
  await assert.rejects(fetch(`${url}/live`));
});
