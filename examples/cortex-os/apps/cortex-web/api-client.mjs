// The api, asked in the name of a visitor: with a short-lived token of this service's own for the visitor's tenant.
import { call, Problem } from '@cortex-os/kernel';
import { signToken } from '@cortex-os/security';

const TOKEN_SECONDS = 60;

/** @param {string} url @param {string} tokenKey */
export function apiClient(url, tokenKey) {
  async function ask({ sub, tenant }, method, path, json, headers = {}) {
    const token = signToken({ sub: `cortex-web:${sub}`, tenant }, tokenKey, { ttlSeconds: TOKEN_SECONDS });
    const answer = await call(new URL(path, url).href, { part: 'api', method, json, headers: { ...headers, authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Problem(answer.status, answer.json?.error ?? 'api', answer.json?.message ?? `api answers ${answer.status}`);
    return answer.json;
  }
  return {
    /** @param {{sub: string, tenant: string}} visitor */
    tasks: async (visitor) => (await ask(visitor, 'GET', '/v1/tasks')).tasks,
    add: (visitor, text) => ask(visitor, 'POST', '/v1/tasks', { text }),
  };
}
