// A text's vector: the model's when the gateway has one, else the lexical one.
import { call, Unreachable } from '@cortex-os/kernel';
import { lexicalVector } from './lexical.mjs';

/** @typedef {{space: 'model'|'lexical', model: string, vector: number[]}} Embedded */

/** @param {string} gatewayUrl @returns {((text: string) => Promise<Embedded>) & {lexically: (text: string) => Embedded}} */
export function embedder(gatewayUrl) {
  const url = new URL('/embeddings', gatewayUrl).href;
  const lexically = (text) => ({ space: 'lexical', model: 'lexical', vector: lexicalVector(text) });

  async function embed(text) {
    try {
      const { ok, json } = await call(url, { part: 'model-gateway', method: 'POST', json: { texts: [text] }, timeoutMs: 5000 });
      const vector = json?.vectors?.[0];
      return ok && vector?.length ? { space: 'model', model: json.modelUsed ?? 'unnamed', vector } : lexically(text);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      return lexically(text);
    }
  }
  return Object.assign(embed, { lexically });
}
