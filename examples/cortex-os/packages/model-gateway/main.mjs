// model-gateway: one dialect for chat, embeddings and ranking; MLX on the host or Ollama do the work.
import { runService } from '@cortex-os/kernel';
import { gatewayRoutes } from './routes.mjs';
import { createUpstreams } from './upstreams.mjs';

runService({
  name: 'model-gateway',
  port: 8090,
  setup({ log }) {
    const upstreams = createUpstreams({ mlxUrl: process.env.MLX_BASE_URL, ollamaUrl: process.env.OLLAMA_URL, log });
    return {
      routes: gatewayRoutes(upstreams),
      // Without a model the gateway still serves: it says clearly that there is none.
      dependencies: upstreams.list.map(({ name, check }) => ({ name, check, need: 'optional' })),
      details: () => ({ capabilities: upstreams.capabilities() }),
    };
  },
});
