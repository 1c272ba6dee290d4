// The caller's side: hand a task to another agent over HTTP and ask what became of it.
import { randomUUID } from 'node:crypto';
import { rpcCall } from '@cortex-os/kernel';

/** @param {string} url the other agent's base address @param {string} part its name, for messages */
export function a2aClient(url, part) {
  const endpoint = new URL('/a2a', url).href;
  const ask = async (method, params, timeoutMs = 5000) => {
    // Every method may be sent twice: sending is keyed, deleting and reading repeat harmlessly.
    const { result } = await rpcCall(endpoint, method, params, { part, timeoutMs, idempotent: true });
    return result;
  };

  return {
    /** @returns the A2A task, with `metadata.repeated` when this key was sent before */
    send: ({ tenant, text, key = randomUUID() }) => ask('message/send', {
      message: { kind: 'message', role: 'user', messageId: key, parts: [{ kind: 'text', text }], contextId: tenant },
    }),
    get: (tenant, id) => ask('tasks/get', { id, metadata: { tenant } }),
    list: (tenant) => ask('tasks/list', { metadata: { tenant } }),
    deleteTenant: (tenant) => ask('tenants/delete', { metadata: { tenant } }, 10_000),
  };
}
