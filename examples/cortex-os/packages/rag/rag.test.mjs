// The vector store here is a stand-in: a few lines that speak the used part of Qdrant's API over a Map.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem, startService } from '@cortex-os/kernel';
import { createLogger } from '@cortex-os/observability';
import { createRag, lexicalVector } from './index.mjs';

const log = createLogger({ service: 'test', write: () => {} });
const A = '00000000-0000-4000-8000-00000000000a';
const B = '00000000-0000-4000-8000-00000000000b';
const NOWHERE = 'http://127.0.0.1:1';

async function serve(t, name, routes) {
  const service = await startService({ name, port: 0, lingerMs: 0, env: { HOST: '127.0.0.1' }, write: () => {}, setup: () => ({ routes }) });
  t.after(() => service.stop());
  return `http://127.0.0.1:${service.port}`;
}

function standIn(collections = new Map()) {
  const of = ({ params, headers }) => {
    if (headers['api-key'] !== 'key') throw new Problem(401, 'key', 'wrong key');
    const found = collections.get(params.c);
    if (!found) throw new Problem(404, 'gone', 'no such collection');
    return found;
  };
  const fits = ({ must }) => ({ payload }) => must.every(({ key, match }) => payload[key] === match.value);
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  return { collections, routes: [
    ['GET', '/collections/:c', (request) => ({ json: { result: { config: { params: { vectors: { size: of(request).size } } } } } })],
    ['PUT', '/collections/:c', async ({ params, json }) => { collections.set(params.c, { size: (await json()).vectors.size, points: new Map() }); return { json: { result: true } }; }],
    ['PUT', '/collections/:c/points', async (request) => { for (const point of (await request.json()).points) of(request).points.set(point.id, point); return { json: { result: {} } }; }],
    ['POST', '/collections/:c/points/search', async (request) => {
      const { vector, filter, limit } = await request.json();
      const hits = [...of(request).points.values()].filter(fits(filter)).map((point) => ({ ...point, score: dot(vector, point.vector) }));
      return { json: { result: hits.sort((x, y) => y.score - x.score).slice(0, limit) } };
    }],
    ['POST', '/collections/:c/points/delete', async (request) => {
      const { filter } = await request.json();
      for (const point of [...of(request).points.values()].filter(fits(filter))) of(request).points.delete(point.id);
      return { json: { result: {} } };
    }],
  ] };
}

test('lexical vectors have length one, are nearest to what shares words, and know no meaning', () => {
  const dot = (a, b) => lexicalVector(a).reduce((sum, value, i) => sum + value * lexicalVector(b)[i], 0);
  for (const text of ['one', 'one two three', '', '…']) assert.ok(Math.abs(Math.hypot(...lexicalVector(text)) - 1) < 1e-9);
  assert.ok(dot('Count the words', 'count the words!') > 0.999);
  assert.ok(dot('count the words', 'count the trees') > dot('count the words', 'sum these numbers'));
});

test('without a model, texts are found again lexically, each tenant its own', async (t) => {
  const { collections, routes } = standIn();
  const rag = createRag({ gatewayUrl: NOWHERE, qdrantUrl: await serve(t, 'qdrant', routes), apiKey: 'key', log });
  assert.deepEqual(await rag.index('acme', { id: A, text: 'count the words', payload: { n: 1 } }), { space: 'lexical' });
  await rag.index('other', { id: B, text: 'count the words', payload: { n: 2 } });
  const { space, found } = await rag.retrieve('acme', 'count words');
  assert.equal(space, 'lexical');
  assert.deepEqual(found.map(({ id, payload }) => [id, payload.n]), [[A, 1]]);
  await rag.forget('acme');
  assert.deepEqual((await rag.retrieve('acme', 'count words')).found, []);
  assert.equal((await rag.retrieve('other', 'count words')).found.length, 1);
  collections.clear();
  await rag.index('acme', { id: A, text: 'after the store was emptied', payload: {} });
  assert.equal((await rag.retrieve('acme', 'emptied')).found.length, 1);
});

test('with a model, its vectors are used and its order wins', async (t) => {
  const { collections, routes } = standIn();
  const gatewayUrl = await serve(t, 'model-gateway', [
    ['POST', '/embeddings', async ({ json }) => ({ json: { vectors: [[(await json()).texts[0].length, 1, 0]], modelUsed: 'tiny' } })],
    ['POST', '/rerank', async ({ json }) => ({ json: { rankedItems: (await json()).docs.map((content, index) => ({ index, score: content.length, content })).sort((x, y) => x.score - y.score) } })],
  ]);
  const rag = createRag({ gatewayUrl, qdrantUrl: await serve(t, 'qdrant', routes), apiKey: 'key', log });
  await rag.index('acme', { id: A, text: 'a longer text', payload: {} });
  await rag.index('acme', { id: B, text: 'short', payload: {} });
  const { space, found } = await rag.retrieve('acme', 'a longer text');
  assert.equal(space, 'model');
  assert.deepEqual(found.map(({ id }) => id), [B, A]);
  assert.equal(collections.get('memories-model').size, 3);
});

test('a model whose vectors do not fit the collection is not used', async (t) => {
  const { routes } = standIn(new Map([['memories-model', { size: 7, points: new Map() }]]));
  const gatewayUrl = await serve(t, 'model-gateway', [['POST', '/embeddings', () => ({ json: { vectors: [[1, 0, 0]], modelUsed: 'tiny' } })]]);
  const rag = createRag({ gatewayUrl, qdrantUrl: await serve(t, 'qdrant', routes), apiKey: 'key', log });
  assert.deepEqual(await rag.index('acme', { id: A, text: 'hello', payload: {} }), { space: 'lexical' });
});

test('a store that refuses or does not answer is named', async (t) => {
  const { routes } = standIn();
  const refusing = createRag({ gatewayUrl: NOWHERE, qdrantUrl: await serve(t, 'qdrant', routes), apiKey: 'wrong', log });
  await assert.rejects(refusing.retrieve('acme', 'x'), /qdrant answers 401/);
  const absent = createRag({ gatewayUrl: NOWHERE, qdrantUrl: NOWHERE, apiKey: 'key', log });
  await assert.rejects(absent.retrieve('acme', 'x'), /qdrant does not answer/);
});
