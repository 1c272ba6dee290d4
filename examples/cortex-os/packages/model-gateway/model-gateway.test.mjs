// MLX and Ollama are stand-ins here that speak the two dialects; no model is behind them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, startService } from '@cortex-os/kernel';
import { createLogger } from '@cortex-os/observability';
import { gatewayRoutes } from './routes.mjs';
import { createUpstreams } from './upstreams.mjs';

const log = createLogger({ service: 'test', write: () => {} });

async function serve(t, name, routes, health = {}) {
  const service = await startService({ name, port: 0, lingerMs: 0, env: { HOST: '127.0.0.1' }, write: () => {}, setup: () => ({ routes, details: () => health }) });
  t.after(() => service.stop());
  return `http://127.0.0.1:${service.port}`;
}

async function gateway(t, urls) {
  const url = await serve(t, 'model-gateway', gatewayRoutes(createUpstreams({ ...urls, log })));
  return { url, post: (path, json) => call(url + path, { part: 'gateway', method: 'POST', json }) };
}

const standInMlx = (t) => serve(t, 'mlx', [
  ['POST', '/v1/chat/completions', async ({ json }) => { const { model, messages } = await json(); return { json: { model, choices: [{ message: { content: `echo ${messages.at(-1).content}` } }] } }; }],
  ['POST', '/v1/embeddings', async ({ json }) => { const { model, input } = await json(); return { json: { model, data: input.map((text, index) => ({ index, embedding: [text.length, 0] })).reverse() } }; }],
  ['POST', '/v1/rerank', async ({ json }) => ({ json: { model: 'rank', results: (await json()).documents.map((text, index) => ({ index, relevance_score: text.length })).reverse() } })],
], { loaded_models: { text_generation: { model: 'llama' }, embedding: { model: 'emb' } } });

test('MLX answers in the gateway\'s dialect, under both names of a path', async (t) => {
  const { post } = await gateway(t, { mlxUrl: await standInMlx(t) });
  const msgs = [{ role: 'user', content: 'hi' }];
  assert.deepEqual((await post('/chat', { model: 'm', msgs })).json, { content: 'echo hi', modelUsed: 'm' });
  assert.equal((await post('/chat', { msgs })).json.modelUsed, 'llama');
  for (const path of ['/embeddings', '/embed']) assert.deepEqual((await post(path, { texts: ['a', 'bb'] })).json, { vectors: [[1, 0], [2, 0]], dimensions: 2, modelUsed: 'emb' });
  for (const path of ['/rerank', '/rank']) {
    assert.deepEqual((await post(path, { query: 'q', docs: ['a', 'bb'] })).json, { rankedItems: [{ index: 1, score: 2, content: 'bb' }, { index: 0, score: 1, content: 'a' }], modelUsed: 'rank' });
  }
});

test('Ollama answers when MLX does not', async (t) => {
  const ollamaUrl = await serve(t, 'ollama', [
    ['GET', '/api/tags', () => ({ json: { models: [{ name: 'tiny' }] } })],
    ['POST', '/api/chat', async ({ json }) => ({ json: { message: { content: `by ${(await json()).model}` }, done: true } })],
    ['POST', '/api/embed', () => ({ json: { embeddings: [[1, 2, 3]] } })],
  ]);
  const { post } = await gateway(t, { mlxUrl: 'http://127.0.0.1:1', ollamaUrl });
  assert.deepEqual((await post('/chat', { msgs: [{ role: 'user', content: 'hi' }] })).json, { content: 'by tiny', modelUsed: 'tiny' });
  assert.equal((await post('/embeddings', { texts: ['a'] })).json.dimensions, 3);
  assert.match((await post('/rerank', { query: 'q', docs: ['a'] })).json.message, /ollama: it has no rerank/);
});

test('when no model answers, the gateway says so with 503 and names whom it tried', async (t) => {
  const { post } = await gateway(t, { mlxUrl: 'http://127.0.0.1:1' });
  const { status, json } = await post('/chat', { msgs: [{ role: 'user', content: 'hi' }] });
  assert.equal(status, 503);
  assert.equal(json.reportedBy, 'model-gateway');
  assert.deepEqual(json.tried.map(({ upstream }) => upstream), ['mlx']);
  assert.match(json.message, /no model answers chat: mlx: mlx does not answer/);
  assert.match((await (await gateway(t, {})).post('/embed', { texts: ['a'] })).json.message, /set MLX_BASE_URL or OLLAMA_URL/);
});

test('an upstream that is a model-gateway itself is refused', async (t) => {
  const inner = await gateway(t, {});
  const { post } = await gateway(t, { mlxUrl: inner.url });
  const { status, json } = await post('/chat', { msgs: [{ role: 'user', content: 'hi' }] });
  assert.equal(status, 503);
  assert.match(json.tried[0].reason, /is a model-gateway: point it at the model server/);
});

test('a request that makes no sense is the caller\'s mistake, not a missing model', async (t) => {
  const { post } = await gateway(t, {});
  for (const [path, body] of [['/chat', {}], ['/chat', { msgs: [] }], ['/embed', { texts: [1] }], ['/rank', { query: 'q' }]]) {
    assert.equal((await post(path, body)).status, 400);
  }
});
