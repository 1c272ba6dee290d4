import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem, startService } from '@cortex-os/kernel';
import { mcpClient, mcpRoutes } from './index.mjs';

async function registry(t) {
  const service = await startService({ name: 'mcp-registry', port: 0, lingerMs: 0, env: { HOST: '127.0.0.1' }, write: () => {},
    setup: () => ({ routes: mcpRoutes({ name: 'test', version: 'r1' }, {
      list: async () => ({ tools: [{ name: 'double', description: '', inputSchema: {} }], cache: 'miss' }),
      call: (name, { n }) => { if (name !== 'double') throw new Problem(404, 'no_tool', `no tool named ${name}`); return { twice: 2 * n }; },
    }) }) });
  t.after(() => service.stop());
  return `http://127.0.0.1:${service.port}`;
}

test('a client greets, lists the tools and calls one', async (t) => {
  const client = mcpClient(await registry(t), 'test');
  assert.deepEqual(await client.listTools(), { tools: [{ name: 'double', description: '', inputSchema: {} }], cache: 'miss' });
  const { output, hop } = await client.callTool('double', { n: 21 });
  assert.deepEqual(output, { twice: 42 });
  assert.equal(hop.service, 'mcp-registry');
});

test('a tool that refuses is an error with its reason', async (t) => {
  await assert.rejects(mcpClient(await registry(t), 'test').callTool('treble', {}), (error) => error.status === 422 && /no tool named treble/.test(error.message));
});

test('an unknown method and a request that is not JSON-RPC are told apart', async (t) => {
  const url = `${await registry(t)}/mcp`;
  const post = async (body) => (await (await fetch(url, { method: 'POST', body: JSON.stringify(body) })).json()).error.code;
  assert.equal(await post({ jsonrpc: '2.0', id: 1, method: 'constructor' }), -32601);
  assert.equal(await post({ hello: 1 }), -32600);
});
