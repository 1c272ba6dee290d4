// The caller's side: greet a registry once, list its tools, call one.
import { Problem, rpcCall } from '@cortex-os/kernel';
import { PROTOCOL } from './protocol.mjs';

/** @param {string} url the registry's base address @param {string} name who asks */
export function mcpClient(url, name) {
  const endpoint = new URL('/mcp', url).href;
  const options = { part: 'mcp-registry', timeoutMs: 1500, idempotent: true };
  let greeting;

  async function greet() {
    const { result } = await rpcCall(endpoint, 'initialize', { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: { name, version: '0.1.0' } }, options);
    if (result.protocolVersion !== PROTOCOL) throw new Problem(502, 'protocol', `mcp-registry speaks ${result.protocolVersion}, expected ${PROTOCOL}`);
    await rpcCall(endpoint, 'notifications/initialized', {}, { ...options, notification: true });
    return result.serverInfo;
  }

  async function ask(method, params) {
    greeting ??= greet();
    try {
      await greeting;
      return await rpcCall(endpoint, method, params, options);
    } catch (error) {
      greeting = undefined; // the next call greets again: another release may answer it
      throw error;
    }
  }

  return {
    /** @returns {Promise<{tools: Array<{name: string, description: string, inputSchema: object}>, cache: string}>} */
    async listTools() {
      const { result } = await ask('tools/list', {});
      return { tools: result.tools, cache: result._meta?.cache };
    },

    /** @returns {Promise<{output: any, hop?: import('@cortex-os/kernel').Hop}>} @throws {Problem} 422 when the tool refuses */
    async callTool(tool, args) {
      const { result, hop } = await ask('tools/call', { name: tool, arguments: args });
      if (result.isError) throw new Problem(422, 'tool_error', `${tool}: ${result.content?.[0]?.text}`);
      return { output: result.structuredContent, hop };
    },
  };
}
