// api and mcp-registry are stand-ins here: plain objects with the clients' methods; in one test, servers of a few lines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem, startService } from '@cortex-os/kernel';
import { mcpClient, mcpRoutes } from '@cortex-os/mcp';
import { bearerClaims, signToken } from '@cortex-os/security';
import { apiClient } from './api-client.mjs';
import { webRoutes } from './routes.mjs';

const KEY = 'k'.repeat(32);
const token = (tenant = 'acme') => signToken({ sub: 'ada', tenant }, KEY);
const task = { id: '1', text: '<script>alert("x")</script>', state: 'completed', createdAt: '2030-01-02T03:04:05.678Z', result: { tool: { name: 'sum', output: { sum: 3 } }, memory: { space: 'lexical', recalled: [] }, model: { status: 'unavailable', reportedBy: 'model-gateway' } } };

async function serve(t, name, routes) {
  const service = await startService({ name, port: 0, lingerMs: 0, env: { HOST: '127.0.0.1' }, write: () => {}, setup: () => ({ routes }) });
  t.after(() => service.stop());
  return `http://127.0.0.1:${service.port}`;
}

async function web(t, changes = {}) {
  const added = [];
  const url = await serve(t, 'cortex-web', webRoutes({
    api: { tasks: async ({ tenant }) => (tenant === 'acme' ? [task] : []), add: async (visitor, text) => { added.push([visitor.tenant, text]); }, ...changes.api },
    registry: { listTools: async () => ({ tools: [{ name: 'sum', description: 'The sum of some numbers.' }] }), ...changes.registry },
    tokenKey: KEY, config: { release: 'r9', apiUrl: 'http://</script>' },
  }));
  const ask = (path, options) => fetch(url + path, { redirect: 'manual', ...options });
  const text = async (path, options) => (await ask(path, options)).text();
  return { ask, text, added };
}

test('without a token the page shows the tools and where to sign in, and nobody\'s tasks', async (t) => {
  const { text } = await web(t);
  const page = await text('/');
  assert.match(page, /data-tool="sum"/);
  assert.match(page, /release <b>r9<\/b>/);
  assert.match(page, /action="\/session"/);
  assert.doesNotMatch(page, /data-task/);
});

test('with a token the page shows the tenant\'s tasks, escaped', async (t) => {
  const { text } = await web(t);
  const page = await text('/', { headers: { authorization: `Bearer ${token()}` } });
  assert.match(page, /data-task="1" data-state="completed"/);
  assert.match(page, /&#60;script&#62;alert\(&#34;x&#34;\)/);
  assert.doesNotMatch(page, /<script>alert/);
  assert.match(page, /unavailable, says model-gateway/);
  assert.doesNotMatch(await text('/', { headers: { authorization: `Bearer ${token('other')}` } }), /data-task/);
});

test('the tools come over MCP and the tasks from the api, in the visitor\'s name', async (t) => {
  const tools = [{ name: 'clock', description: 'The time now, in UTC.', inputSchema: {} }];
  const registryUrl = await serve(t, 'mcp-registry', mcpRoutes({ name: 'mcp-registry', version: 'r1' }, { list: async () => ({ tools, cache: 'miss' }) }));
  const asked = [];
  const apiUrl = await serve(t, 'api', [['GET', '/v1/tasks', ({ headers }) => { asked.push(bearerClaims(headers, KEY)); return { json: { tasks: [task] } }; }]]);
  const { text } = await web(t, { registry: mcpClient(registryUrl, 'cortex-web'), api: apiClient(apiUrl, KEY) });
  const page = await text('/', { headers: { authorization: `Bearer ${token()}` } });
  assert.match(page, /data-tool="clock"/);
  assert.match(page, /data-task="1"/);
  assert.deepEqual(asked.map(({ sub, tenant }) => [sub, tenant]), [['cortex-web:ada', 'acme']]);
});

test('public configuration is handed over at run time, and cannot break out of its element', async (t) => {
  const { text } = await web(t);
  const [, data] = /id="config">(.*?)<\/script>/.exec(await text('/'));
  assert.deepEqual(JSON.parse(data), { release: 'r9', apiUrl: 'http://</script>' });
});

test('signing in sets a cookie that scripts and other sites do not get, and a task can be handed over', async (t) => {
  const { ask, added } = await web(t);
  const post = (path, fields, headers) => ask(path, { method: 'POST', body: new URLSearchParams(fields), headers });
  const signed = await post('/session', { token: token() });
  assert.deepEqual([signed.status, signed.headers.get('location')], [303, '/']);
  const cookie = signed.headers.get('set-cookie');
  assert.match(cookie, /HttpOnly; SameSite=Strict/);
  const session = { cookie: cookie.split(';')[0] };
  assert.equal((await post('/tasks', { text: 'hello' }, session)).status, 303);
  assert.deepEqual(added, [['acme', 'hello']]);
  assert.equal((await post('/tasks', { text: 'hello' })).status, 401);
  assert.equal((await post('/session', { token: 'forged' })).status, 401);
  assert.equal((await post('/tasks', { text: 'hello' }, { ...session, 'sec-fetch-site': 'cross-site' })).status, 403);
  assert.equal((await ask('/', { headers: { authorization: 'Bearer forged' } })).status, 401);
});

test('what cannot be had is named, and the rest of the page stands', async (t) => {
  const { text } = await web(t, { registry: { listTools: async () => { throw new Problem(503, 'unreachable', 'mcp-registry does not answer: refused'); } } });
  const page = await text('/', { headers: { authorization: `Bearer ${token()}` } });
  assert.match(page, /role="alert">mcp-registry does not answer: refused/);
  assert.match(page, /data-task="1"/);
});

test('the page may load only what is its own', async (t) => {
  const { ask } = await web(t);
  assert.match((await ask('/')).headers.get('content-security-policy'), /default-src 'none'/);
  assert.match((await ask('/style.css')).headers.get('content-type'), /^text\/css/);
  assert.match((await ask('/page.js')).headers.get('content-type'), /^text\/javascript/);
});
