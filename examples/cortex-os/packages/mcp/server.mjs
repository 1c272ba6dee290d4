// The registry's side. What the tools are, and how their list is kept, is the caller's business.
import { Problem, rpcHandler } from '@cortex-os/kernel';
import { PROTOCOL } from './protocol.mjs';

/**
 * @param {{name: string, version: string}} serverInfo
 * @param {{list: () => Promise<{tools: object[], cache: string}>, call: (name: string, args: any) => any}} tools
 *   `call` throws a Problem when the tool is unknown or refuses its arguments
 * @returns {import('@cortex-os/kernel').Route[]}
 */
export function mcpRoutes(serverInfo, tools) {
  return [['POST', '/mcp', rpcHandler({
    initialize: () => ({ protocolVersion: PROTOCOL, capabilities: { tools: { listChanged: false } }, serverInfo }),
    'notifications/initialized': () => undefined,
    ping: () => ({}),
    'tools/list': async () => {
      const { tools: list, cache } = await tools.list();
      return { tools: list, _meta: { cache } };
    },
    'tools/call': async ({ name, arguments: args = {} }) => {
      try {
        const output = await tools.call(name, args);
        return { content: [{ type: 'text', text: JSON.stringify(output) }], structuredContent: output };
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        return { isError: true, content: [{ type: 'text', text: error.message }] };
      }
    },
  })]];
}
