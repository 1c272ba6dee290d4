// A cache in Redis that may be absent: reads then miss, writes are skipped, and the caller is told which it was.
import { createClient } from '@redis/client';
import { within } from './problems.mjs';

const DEADLINE_MS = 500;

/**
 * Connects in the background and keeps trying.
 * @param {{url: string, password: string, log: import('@cortex-os/observability').Logger}} options
 */
export function openCache({ url, password, log }) {
  const client = createClient({
    url, password, disableOfflineQueue: true,
    socket: { connectTimeout: 1000, reconnectStrategy: (tries) => Math.min(100 * tries, 1000) },
  });
  let failing = false;
  client.on('error', (error) => {
    if (!failing) log.warn('the cache does not answer', { error });
    failing = true;
  });
  client.on('ready', () => { failing = false; });
  client.connect().catch((error) => log.warn('the cache cannot be reached', { error }));
  const ask = (work) => within(work, DEADLINE_MS, 'asking the cache');

  return {
    /**
     * The cached value, or what `make` gives, which is then kept for `seconds` if `keep` says so.
     * @template T @param {string} key @param {number} seconds @param {() => Promise<T>} make @param {(value: T) => boolean} [keep]
     * @returns {Promise<{value: T, cache: 'hit'|'miss'|'unavailable'}>}
     */
    async through(key, seconds, make, keep = () => true) {
      let cache = 'miss';
      try {
        const found = await ask(client.get(key));
        if (found !== null) return { value: JSON.parse(found), cache: 'hit' };
      } catch {
        cache = 'unavailable';
      }
      const value = await make();
      if (cache === 'miss' && keep(value)) {
        await ask(client.set(key, JSON.stringify(value), { EX: seconds })).catch(() => {});
      }
      return { value, cache };
    },

    /** @param {string[]} keys */
    async forget(keys) {
      if (keys.length) await ask(client.del(keys)).catch(() => {});
    },

    ping: () => ask(client.ping()),

    async close() {
      if (client.isOpen) client.destroy();
    },
  };
}
