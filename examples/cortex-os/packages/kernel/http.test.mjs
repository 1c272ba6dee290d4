import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { test } from 'node:test';
import { createLogger, createMetrics } from '@cortex-os/observability';
import { call, createHttpServer, Problem, Unreachable } from './index.mjs';

const log = createLogger({ service: 'test', write: () => {} });

async function serve(t, routes) {
  const server = createHttpServer({ service: 'test', routes, log, metrics: createMetrics() });
  const port = await server.listen(0, '127.0.0.1');
  t.after(() => server.drain({ lingerMs: 0, deadlineMs: 200 }));
  return { server, port, url: `http://127.0.0.1:${port}` };
}

test('a route gets its decoded parameters, query and JSON body', async (t) => {
  const { url } = await serve(t, [['POST', '/v1/:name', async ({ params, query, json }) => ({ status: 201, json: { ...params, q: query.get('q'), body: await json() } })]]);
  const answer = await call(`${url}/v1/a%20b?q=2`, { part: 'test', method: 'POST', json: { n: 1 } });
  assert.equal(answer.status, 201);
  assert.deepEqual(answer.json, { name: 'a b', q: '2', body: { n: 1 } });
});

test('what is wrong with a request is said with the right status', async (t) => {
  const { url } = await serve(t, [
    ['POST', '/echo', async ({ json }) => ({ json: await json() })],
    ['GET', '/teapot', () => { throw new Problem(418, 'teapot', 'short and stout'); }],
    ['GET', '/broken', () => { throw new Error('with internals'); }],
  ]);
  const status = async (path, options) => (await fetch(url + path, options)).status;
  assert.equal(await status('/nothing'), 404);
  assert.equal(await status('/echo'), 405);
  assert.equal(await status('/echo', { method: 'POST', body: '{' }), 400);
  assert.equal(await status('/echo', { method: 'POST', body: 'x'.repeat(300 * 1024) }), 413);
  assert.deepEqual(await (await fetch(`${url}/teapot`)).json(), { error: 'teapot', message: 'short and stout' });
  const broken = await fetch(`${url}/broken`);
  assert.equal(broken.status, 500);
  assert.doesNotMatch(await broken.text(), /internals/);
});

test('a call carries the trace of the request that it serves', async (t) => {
  const inner = await serve(t, [['GET', '/', ({ headers }) => ({ json: headers.traceparent })]]);
  const outer = await serve(t, [['GET', '/', async () => ({ json: (await call(inner.url, { part: 'inner' })).json })]]);
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const answer = await fetch(outer.url, { headers: { traceparent } });
  assert.match(await answer.json(), /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)/);
  assert.match(answer.headers.get('traceparent'), /^00-4bf92f3577b34da6a3ce929d0e0e4736-/);
});

test('a part that does not answer is named, and the wait has an end', async (t) => {
  await assert.rejects(call('http://127.0.0.1:1/', { part: 'the gateway' }), (error) => error instanceof Unreachable && /^the gateway does not answer: .+/.test(error.message));
  const { url } = await serve(t, [['GET', '/', () => new Promise((resolve) => setTimeout(resolve, 150, {}))]]);
  await assert.rejects(call(url, { part: 'the sloth', timeoutMs: 50 }), /the sloth does not answer: no answer within 50 ms/);
});

test('draining finishes what is in flight, tells kept-alive clients, then accepts nothing', async () => {
  let slow;
  const server = createHttpServer({ service: 'test', log, metrics: createMetrics(), routes: [
    ['GET', '/slow', () => new Promise((resolve) => { slow = () => resolve({ text: 'done' }); })],
    ['GET', '/quick', () => ({ text: 'ok' })],
  ] });
  const port = await server.listen(0, '127.0.0.1');
  const agent = new Agent({ keepAlive: true });
  const get = (path) => new Promise((resolve, reject) => request({ host: '127.0.0.1', port, path, agent }, (answer) => {
    answer.resume().on('end', () => resolve({ status: answer.statusCode, connection: answer.headers.connection }));
  }).on('error', reject).end());
  assert.equal((await get('/quick')).connection, 'keep-alive');
  const inFlight = get('/slow');
  while (!slow) await new Promise((resolve) => setTimeout(resolve, 5));
  const drained = server.drain({ lingerMs: 100 });
  assert.deepEqual(await get('/quick'), { status: 200, connection: 'close' });
  await new Promise((resolve) => setTimeout(resolve, 150));
  // Reset, not refused: on a busy machine the connection may be asked for just before the port is closed.
  await assert.rejects(get('/quick'), /ECONNREFUSED|ECONNRESET/);
  slow();
  assert.deepEqual(await inFlight, { status: 200, connection: 'close' });
  await drained;
  agent.destroy();
});
