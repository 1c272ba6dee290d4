// Retrieval: texts become vectors, vectors are kept per tenant, and the nearest come back in the best order known.
import { embedder } from './embed.mjs';
import { ranker } from './rank.mjs';
import { vectorStore } from './store.mjs';

export { lexicalVector } from './lexical.mjs';

const COLLECTIONS = ['memories-lexical', 'memories-model'];
const CANDIDATES = 5;

/**
 * @typedef {{id: string, text: string, payload: object}} Document `id` is a UUID: indexing it again replaces it
 * @param {{gatewayUrl: string, qdrantUrl: string, apiKey: string, log: import('@cortex-os/observability').Logger}} options
 */
export function createRag({ gatewayUrl, qdrantUrl, apiKey, log }) {
  const store = vectorStore({ url: qdrantUrl, apiKey });
  const embed = embedder(gatewayUrl);
  const rank = ranker(gatewayUrl);

  /** The vector and its collection; a model whose vectors do not fit the collection is not used. */
  async function place(text) {
    const found = await embed(text);
    if (found.space === 'lexical' || await store.ensure(`memories-${found.space}`, found.vector.length)) return found;
    log.warn('the model\'s vectors do not fit the collection memories-model: using lexical ones', { size: found.vector.length });
    return embed.lexically(text);
  }

  return {
    /** @param {string} tenant @param {Document} document @returns {Promise<{space: string}>} `lexical` or `model` */
    async index(tenant, { id, text, payload }) {
      const { space, model, vector } = await place(text);
      await store.put(`memories-${space}`, { id, vector, payload: { ...payload, text, tenant, model } });
      return { space };
    },

    /** @returns {Promise<{space: string, found: Array<{id: string, score: number, payload: any}>}>} best first */
    async retrieve(tenant, query) {
      const { space, model, vector } = await place(query);
      const near = await store.near(`memories-${space}`, vector, { tenant, model }, CANDIDATES);
      return { space, found: await rank(query, near, ({ payload }) => payload.text) };
    },

    /** Does the store answer, and accept our key? */
    reachable: () => store.exists(COLLECTIONS[0]),

    /** Everything that was ever indexed for the tenant, in whichever space. */
    async forget(tenant) {
      for (const collection of COLLECTIONS) await store.deleteWhere(collection, { tenant });
    },
  };
}
