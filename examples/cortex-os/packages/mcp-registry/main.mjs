// mcp-registry: the tools that agents may use, over MCP. Their list is cached in Redis, one entry per release.
import { runService, secret, setting } from '@cortex-os/kernel';
import { openCache } from '@cortex-os/kernel/cache';
import { mcpRoutes } from '@cortex-os/mcp';
import { createRegistry } from './registry.mjs';

runService({
  name: 'mcp-registry',
  port: 8080,
  setup({ log, identity: { release } }) {
    const cache = openCache({ url: setting('REDIS_URL'), password: secret('REDIS_PASSWORD'), log });
    return {
      routes: mcpRoutes({ name: 'mcp-registry', version: release }, createRegistry({ cache, release })),
      dependencies: [{ name: 'redis', check: () => cache.ping(), need: 'once' }],
      close: () => cache.close(),
    };
  },
});
