// JSON-RPC 2.0 over HTTP POST: what A2A and MCP have in common. A Problem crosses it with its status and code.
import { call } from './http-client.mjs';
import { Problem, Unreachable } from './problems.mjs';

/**
 * @param {Record<string, (params: any, request: import('./http-server.mjs').Request) => Promise<any>|any>} methods
 * @returns {(request: import('./http-server.mjs').Request) => Promise<import('./http-server.mjs').Reply>}
 */
export function rpcHandler(methods) {
  return async (request) => {
    const { jsonrpc, id, method, params = {} } = await request.json() ?? {};
    const reply = (content) => ({ json: { jsonrpc: '2.0', id: id ?? null, ...content } });
    if (jsonrpc !== '2.0' || typeof method !== 'string') return reply({ error: { code: -32600, message: 'not a JSON-RPC 2.0 request' } });
    if (!Object.hasOwn(methods, method)) return reply({ error: { code: -32601, message: `no method named ${method}` } });
    try {
      const result = await methods[method](params, request);
      return id === undefined ? { status: 202 } : reply({ result });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return reply({ error: { code: -32000, message: error.message, data: { status: error.status, code: error.code } } });
    }
  };
}

/**
 * @param {string} url @param {string} method @param {object} params
 * @param {{part: string, timeoutMs?: number, idempotent?: boolean, notification?: boolean}} options
 * @returns {Promise<{result: any, hop: import('./http-client.mjs').Hop|undefined}>}
 * @throws {Problem} the other side's, or Unreachable
 */
export async function rpcCall(url, method, params, { notification = false, ...options }) {
  const json = { jsonrpc: '2.0', ...(!notification && { id: 1 }), method, params };
  const answer = await call(url, { ...options, method: 'POST', json });
  if (notification && answer.ok) return { result: undefined, hop: answer.hop };
  if (!answer.json) throw new Unreachable(options.part, `answer ${answer.status} is not JSON`);
  const { result, error } = answer.json;
  if (error?.code) throw new Problem(error.data?.status ?? 502, error.data?.code ?? 'rpc', error.message);
  if (result === undefined) throw new Unreachable(options.part, `answer ${answer.status} is not a JSON-RPC result`);
  return { result, hop: answer.hop };
}
