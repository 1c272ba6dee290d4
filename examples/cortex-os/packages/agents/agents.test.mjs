// Memory, registry and bus are stand-ins of a few lines here, but for one test that does without those of the first two;
// the gateway is a real HTTP server without a model.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { order, readReport } from '@cortex-os/a2a-services';
import { Problem, startService, Unreachable } from '@cortex-os/kernel';
import { mcpClient, mcpRoutes } from '@cortex-os/mcp';
import { createMemories } from '@cortex-os/memories';
import { createLogger } from '@cortex-os/observability';
import { planTask } from '@cortex-os/orchestration';
import { createRag } from '@cortex-os/rag';
import { createAgent } from './agent.mjs';

const log = createLogger({ service: 'test', write: () => {} });
const work = (text = 'sum of 1 and 2', kind = 'task', taskId = '1') => order({ taskId, tenant: 'acme', kind, text, plan: planTask(text), hops: [{ service: 'cortex-os', traceId: 't' }] });

async function serve(t, name, routes) {
  const service = await startService({ name, port: 0, lingerMs: 0, env: { HOST: '127.0.0.1' }, write: () => {}, setup: () => ({ routes }) });
  t.after(() => service.stop());
  return `http://127.0.0.1:${service.port}`;
}

/** Qdrant with one collection, in which everything is near. */
function standInQdrant(points = [], size = 0) {
  return [
    ['GET', '/collections/:c', () => (size ? { json: { result: { config: { params: { vectors: { size } } } } } } : { status: 404 })],
    ['PUT', '/collections/:c', async ({ json }) => { ({ size } = (await json()).vectors); return { json: {} }; }],
    ['PUT', '/collections/:c/points', async ({ json }) => { points.push(...(await json()).points); return { json: {} }; }],
    ['POST', '/collections/:c/points/search', () => ({ json: { result: points.map((point) => ({ ...point, score: 1 })) } })],
  ];
}

async function agent(t, changes = {}) {
  const chat = changes.chat ?? (() => ({ status: 503, json: { message: 'no model answers chat' } }));
  const gatewayUrl = changes.gatewayUrl ?? await serve(t, 'model-gateway', [['POST', '/chat', chat]]);
  const reports = [];
  const calls = [];
  const handle = createAgent({
    gatewayUrl, log, count: () => {},
    memories: { recall: async () => ({ space: 'lexical', recalled: [] }), remember: async (memory) => { calls.push(memory); }, forget: async (tenant) => { calls.push(`forget ${tenant}`); }, ...changes.memories },
    registry: { listTools: async () => ({ tools: [{ name: 'sum' }] }), callTool: async (_, { numbers }) => ({ output: { sum: numbers[0] + numbers[1] }, hop: { service: 'mcp-registry', traceId: 't' } }), ...changes.registry },
    report: async (address, body, id) => { reports.push({ address, id, ...readReport(body) }); },
  });
  return { handle, reports, calls };
}

test('an order is done with tool and memory, and reported in the scope that it came in', async (t) => {
  const { handle, reports, calls } = await agent(t, { chat: async () => ({ json: { content: 'three', modelUsed: 'tiny' } }) });
  await handle(work(), { scope: 'r2', tries: 1 });
  const [{ address, id, state, result }] = reports;
  assert.deepEqual({ address, id, state }, { address: { scope: 'r2', tenant: 'acme' }, id: '1-completed', state: 'completed' });
  assert.deepEqual(result.tool, { name: 'sum', output: { sum: 3 } });
  assert.deepEqual(result.model, { answer: 'three', modelUsed: 'tiny' });
  assert.deepEqual(result.memory, { space: 'lexical', recalled: [], stored: true });
  assert.deepEqual(result.hops.map(({ service }) => service), ['cortex-os', 'agents', 'mcp-registry', 'model-gateway']);
  assert.deepEqual(calls, [{ tenant: 'acme', taskId: '1', text: 'sum of 1 and 2', outcome: '{"sum":3}' }]);
});

test('what one order taught the next recalls, with tools over MCP and memory over HTTP', async (t) => {
  const registryUrl = await serve(t, 'mcp-registry', mcpRoutes({ name: 'mcp-registry', version: 'r1' }, {
    list: async () => ({ tools: [{ name: 'sum', description: '', inputSchema: {} }], cache: 'miss' }),
    call: (_, { numbers }) => ({ sum: numbers[0] + numbers[1] }),
  }));
  const qdrantUrl = await serve(t, 'qdrant', standInQdrant());
  const rag = createRag({ gatewayUrl: 'http://127.0.0.1:1', qdrantUrl, apiKey: 'key', log });
  const { handle, reports } = await agent(t, { registry: mcpClient(registryUrl, 'agents'), memories: createMemories(rag) });
  for (const taskId of ['1', '2']) await handle(work('sum of 1 and 2', 'task', taskId), { scope: 'r2', tries: 1 });
  const [{ result: first }, { result: second }] = reports;
  assert.deepEqual([first.tool.output, first.memory], [{ sum: 3 }, { space: 'lexical', recalled: [], stored: true }]);
  assert.deepEqual(second.memory.recalled, [{ taskId: '1', text: 'sum of 1 and 2', outcome: '{"sum":3}', score: 1 }]);
});

test('without a model the gateway\'s word is passed on; without the gateway the agent says so itself', async (t) => {
  const { handle, reports } = await agent(t);
  await handle(work(), { scope: 'live', tries: 1 });
  assert.deepEqual(reports[0].result.model, { status: 'unavailable', reportedBy: 'model-gateway', reason: 'no model answers chat' });
  const alone = await agent(t, { gatewayUrl: 'http://127.0.0.1:1' });
  await alone.handle(work(), { scope: 'live', tries: 1 });
  assert.equal(alone.reports[0].result.model.reportedBy, 'agents');
});

test('a registry that does not answer is tried again, and at last the task has failed', async (t) => {
  const { handle, reports } = await agent(t, { registry: { listTools: async () => { throw new Unreachable('mcp-registry', 'refused'); } } });
  await assert.rejects(handle(work(), { scope: 'live', tries: 1 }), /mcp-registry does not answer/);
  await handle(work(), { scope: 'live', tries: 3 });
  assert.deepEqual([reports.length, reports[0].state, reports[0].result.error], [1, 'failed', 'mcp-registry does not answer: refused']);
});

test('a tool that is not in the registry fails the task at once', async (t) => {
  const { handle, reports } = await agent(t);
  await handle(work('hello'), { scope: 'live', tries: 1 });
  assert.match(reports[0].result.error, /mcp-registry has no tool named word_count/);
});

test('a tenant is forgotten by order, and an order that nobody knows is refused', async (t) => {
  const { handle, reports, calls } = await agent(t);
  await handle(work('forget acme', 'forget'), { scope: 'r2', tries: 1 });
  assert.deepEqual([calls, reports[0].kind, reports[0].state], [['forget acme'], 'forget', 'completed']);
  await assert.rejects(handle(work('x', 'dance'), { scope: 'r2', tries: 1 }), (error) => error instanceof Problem && error.status === 400);
});
