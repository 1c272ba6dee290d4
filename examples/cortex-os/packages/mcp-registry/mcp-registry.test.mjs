// Redis is a stand-in here: a Map.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startService } from '@cortex-os/kernel';
import { mcpClient, mcpRoutes } from '@cortex-os/mcp';
import { createRegistry } from './registry.mjs';
import { tools } from './tools.mjs';

function mapCache(kept = new Map()) {
  return { async through(key, _, make) {
    if (kept.has(key)) return { value: kept.get(key), cache: 'hit' };
    kept.set(key, await make());
    return { value: kept.get(key), cache: 'miss' };
  } };
}

test('over MCP, the tools are listed from the cache the second time, and each does what it says', async (t) => {
  const service = await startService({ name: 'mcp-registry', port: 0, lingerMs: 0, env: { HOST: '127.0.0.1' }, write: () => {},
    setup: () => ({ routes: mcpRoutes({ name: 'mcp-registry', version: 'r1' }, createRegistry({ cache: mapCache(), release: 'r1' })) }) });
  t.after(() => service.stop());
  const client = mcpClient(`http://127.0.0.1:${service.port}`, 'test');
  const first = await client.listTools();
  assert.deepEqual([first.cache, first.tools.map(({ name }) => name)], ['miss', ['clock', 'word_count', 'sum']]);
  assert.equal((await client.listTools()).cache, 'hit');
  assert.deepEqual((await client.callTool('sum', { numbers: [1, 2.5, -1] })).output, { sum: 2.5 });
  assert.deepEqual((await client.callTool('word_count', { text: 'Don’t count café twice' })).output, { words: 4, characters: 22 });
  assert.ok(Math.abs(Date.parse((await client.callTool('clock', {})).output.now) - Date.now()) < 5000);
});

test('a tool that does not exist, or arguments it does not take, are refused by name', () => {
  const { call } = createRegistry({ cache: mapCache(), release: 'r1' });
  assert.throws(() => call('rm', {}), /no tool named "rm": there are clock, word_count, sum/);
  for (const [name, args] of [['sum', {}], ['sum', { numbers: ['1'] }], ['sum', { numbers: [Infinity] }], ['word_count', { text: 1 }]]) {
    assert.throws(() => call(name, args), { status: 400 });
  }
});

test('every tool has a schema that names what it requires', () => {
  for (const { name, description, inputSchema } of tools) {
    assert.ok(description.endsWith('.'), name);
    for (const key of inputSchema.required ?? []) assert.ok(inputSchema.properties[key], `${name}.${key}`);
  }
});
