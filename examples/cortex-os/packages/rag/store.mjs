// The part of Qdrant's HTTP API that is used: https://api.qdrant.tech/
import { call, Problem } from '@cortex-os/kernel';

/** @param {{url: string, apiKey: string}} options */
export function vectorStore({ url, apiKey }) {
  const known = new Map();

  async function ask(method, path, json, accept = []) {
    const answer = await call(new URL(path, url).href, {
      part: 'qdrant', method, json, headers: { 'api-key': apiKey }, timeoutMs: 2000, idempotent: true,
    });
    if (answer.ok || accept.includes(answer.status)) return answer;
    throw new Problem(502, 'qdrant', `qdrant answers ${answer.status} to ${method} ${path}: ${answer.text.slice(0, 200)}`);
  }

  /** Makes the collection if need be. @returns {Promise<boolean>} whether its vectors have `size` components */
  async function ensure(collection, size) {
    if (!known.has(collection)) {
      let { status, json } = await ask('GET', `/collections/${collection}`, undefined, [404]);
      if (status === 404) {
        // Another worker may make it at the same moment: what counts is what is there afterwards.
        await ask('PUT', `/collections/${collection}`, { vectors: { size, distance: 'Cosine' } }, [400, 409]);
        ({ json } = await ask('GET', `/collections/${collection}`));
      }
      known.set(collection, json.result.config.params.vectors.size);
    }
    return known.get(collection) === size;
  }

  const matching = (fields) => ({ must: Object.entries(fields).map(([key, value]) => ({ key, match: { value } })) });

  /** A collection can be lost while this runs (a store that was restored): then it is made again, once. */
  async function again(collection, size, work) {
    await ensure(collection, size);
    const answer = await work([404]);
    if (answer.status !== 404) return answer;
    known.delete(collection);
    await ensure(collection, size);
    return work([]);
  }

  return {
    ensure,
    exists: async (collection) => (await ask('GET', `/collections/${collection}`, undefined, [404])).ok,

    /** @param {{id: string, vector: number[], payload: object}} point */
    put: (collection, point) => again(collection, point.vector.length, (accept) => (
      ask('PUT', `/collections/${collection}/points?wait=true`, { points: [point] }, accept))),

    /** @returns {Promise<Array<{id: string, score: number, payload: any}>>} */
    async near(collection, vector, fields, limit) {
      const body = { vector, filter: matching(fields), limit, with_payload: true };
      const { json } = await again(collection, vector.length, (accept) => ask('POST', `/collections/${collection}/points/search`, body, accept));
      return json.result;
    },

    async deleteWhere(collection, fields) {
      await ask('POST', `/collections/${collection}/points/delete?wait=true`, { filter: matching(fields) }, [404]);
    },
  };
}
