// The order of what was found: the model's when the gateway has one, else as it came.
import { call, Unreachable } from '@cortex-os/kernel';

/** @param {string} gatewayUrl */
export function ranker(gatewayUrl) {
  const url = new URL('/rerank', gatewayUrl).href;

  /** @template T @param {string} query @param {T[]} items @param {(item: T) => string} textOf @returns {Promise<T[]>} */
  return async function rank(query, items, textOf) {
    if (items.length < 2) return items;
    try {
      const { ok, json } = await call(url, { part: 'model-gateway', method: 'POST', json: { query, docs: items.map(textOf) }, timeoutMs: 5000 });
      const order = ok && json?.rankedItems?.map(({ index }) => items[index]);
      return order && order.every(Boolean) && order.length === items.length ? order : items;
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      return items;
    }
  };
}
