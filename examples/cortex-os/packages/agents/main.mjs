// agents: workers that take orders from the bus, do them, and report. The port serves probes and metrics only.
import { lives, runService, secret, setting, watchLive } from '@cortex-os/kernel';
import { mcpClient } from '@cortex-os/mcp';
import { createMemories } from '@cortex-os/memories';
import { openBus } from '@cortex-os/orchestration/bus';
import { createRag } from '@cortex-os/rag';
import { createAgent } from './agent.mjs';

runService({
  name: 'agents',
  port: 9464,
  setup({ log, metrics, identity: { release } }) {
    const gatewayUrl = setting('MODEL_GATEWAY_URL');
    const registryUrl = setting('MCP_REGISTRY_URL');
    const qdrantUrl = setting('QDRANT_URL');
    const memories = createMemories(createRag({ gatewayUrl, qdrantUrl, apiKey: secret('QDRANT_API_KEY'), log }));
    const bus = openBus({ url: setting('NATS_URL'), token: secret('NATS_TOKEN'), name: `agents-${release}`, log });
    const live = watchLive({ release, url: process.env.CORTEX_LIVE_URL, log });
    const done = metrics.counter('cortex_orders_total', 'Orders done, by how they ended.');
    const agent = createAgent({ memories, registry: mcpClient(registryUrl, 'agents'), gatewayUrl, log,
      report: (address, body, id) => bus.publish('results', address, body, id), count: (state) => done.inc({ state }) });
    bus.work({ prefix: 'tasks', taker: 'agents', release, live, loops: 4, handle: agent });
    metrics.gauge('cortex_active', 'Whether this release takes live work.', () => live.active);

    return {
      dependencies: [
        { name: 'nats', check: () => bus.ping() },
        { name: 'qdrant', check: () => memories.reachable() },
        { name: 'mcp-registry', check: lives(registryUrl, 'mcp-registry') },
        { name: 'model-gateway', check: lives(gatewayUrl, 'model-gateway') },
      ],
      details: () => ({ active: live.active }),
      async stop() {
        live.stop();
        await bus.stop();
      },
      close: () => bus.close(),
    };
  },
});
