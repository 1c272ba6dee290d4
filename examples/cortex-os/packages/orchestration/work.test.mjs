// The bus here is a stand-in with one message waiting; the real one is met in tests/integration.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem } from '@cortex-os/kernel';
import { createLogger } from '@cortex-os/observability';
import { workLoops } from './work.mjs';

const log = createLogger({ service: 'test', write: () => {} });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const until = async (condition) => {
  for (let i = 0; i < 1000 && !condition(); i += 1) await pause(5);
  assert.ok(condition());
};

/** `arriving` is called just before a message comes in. */
function start({ scopes, waiting, handle = async () => {}, arriving = () => {} }) {
  const state = { scopes, asked: [], fate: [], consumers: [] };
  const message = (scope) => ({
    subject: `tasks.${scope}.acme`, headers: undefined, info: { deliveryCount: 1 }, json: () => ({ scope }),
    ack: () => state.fate.push(`ack ${scope}`), nak: () => state.fate.push(`back ${scope}`), term: () => state.fate.push(`dropped ${scope}`),
  });
  const streams = async () => ({
    jsm: { consumers: { add: async (_, config) => { state.consumers.push(config); } } },
    js: { consumers: { get: async (_, durable) => ({ async next() {
      const scope = durable.replace('agents-', '');
      state.asked.push(scope);
      await pause(20);
      if (!waiting.delete(scope)) return null;
      arriving(state);
      return message(scope);
    } }) } },
  });
  const work = workLoops({ prefix: 'tasks', stream: 'TASKS', taker: 'agents', release: 'r2', live: { scopes: () => state.scopes }, loops: 1, handle, streams, lost: () => {}, log });
  return { state, work };
}

test('a candidate takes its own scope and never asks for live work', async () => {
  const { state, work } = start({ scopes: ['r2'], waiting: new Set(['r2', 'live']) });
  await until(() => state.asked.length > 3);
  await work.stop();
  assert.deepEqual(state.fate, ['ack r2']);
  assert.ok(!state.asked.includes('live'));
  assert.ok(state.consumers[0].inactive_threshold > 0);
});

test('once live a release takes live work too, and its consumer stays', async () => {
  const { state, work } = start({ scopes: ['r2', 'live'], waiting: new Set(['live']) });
  await until(() => state.fate.length > 0);
  await work.stop();
  assert.deepEqual(state.fate, ['ack live']);
  assert.equal(state.consumers.find(({ durable_name }) => durable_name === 'agents-live').inactive_threshold, undefined);
});

test('a message that arrives after the release stopped being live is given back at once', async () => {
  const { state, work } = start({ scopes: ['r2', 'live'], waiting: new Set(['live']), arriving: (at) => { at.scopes = ['r2']; } });
  await until(() => state.fate.length > 0);
  await work.stop();
  assert.deepEqual(state.fate, ['back live']);
});

test('work that fails is given back, and stopping waits for what is in hand', async () => {
  const failed = start({ scopes: ['r2'], waiting: new Set(['r2']), handle: async () => { throw new Error('no'); } });
  await until(() => failed.state.fate.length > 0);
  await failed.work.stop();
  assert.deepEqual(failed.state.fate, ['back r2']);
  let begun = false;
  const slow = start({ scopes: ['r2'], waiting: new Set(['r2']), handle: () => { begun = true; return pause(150); } });
  await until(() => begun);
  await slow.work.stop();
  assert.deepEqual(slow.state.fate, ['ack r2']);
});

test('a message that makes no sense is dropped: trying it again would never end', async () => {
  const { state, work } = start({ scopes: ['r2'], waiting: new Set(['r2']), handle: async () => { throw new Problem(400, 'bad_order', 'this is no order'); } });
  await until(() => state.fate.length > 0);
  await work.stop();
  assert.deepEqual(state.fate, ['dropped r2']);
});
