// cortex-web: server-rendered pages. What differs by environment is read at run time and handed to the page.
import { lives, runService, secret, setting } from '@cortex-os/kernel';
import { mcpClient } from '@cortex-os/mcp';
import { apiClient } from './api-client.mjs';
import { webRoutes } from './routes.mjs';

runService({
  name: 'cortex-web',
  port: 3000,
  setup({ identity: { release } }) {
    const apiUrl = setting('API_URL');
    const registryUrl = setting('MCP_REGISTRY_URL');
    const tokenKey = secret('TOKEN_KEY');
    return {
      routes: webRoutes({
        api: apiClient(apiUrl, tokenKey), registry: mcpClient(registryUrl, 'cortex-web'), tokenKey,
        config: { release, apiUrl: process.env.PUBLIC_API_URL ?? null },
      }),
      dependencies: [
        { name: 'api', check: lives(apiUrl, 'api') },
        { name: 'mcp-registry', check: lives(registryUrl, 'mcp-registry') },
      ],
    };
  },
});
