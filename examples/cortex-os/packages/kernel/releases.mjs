// Which work a release may take. While a candidate runs beside the live release on the same bus and database,
// test tenants belong to the release that accepted them, and every other tenant to whichever release is live.
import { call } from './http-client.mjs';

/** @returns {string} the scope of a tenant's work: the release's own for `test-…`, else `live` */
export function scopeOf(tenant, release) {
  return tenant.startsWith('test-') ? release : 'live';
}

/**
 * Follows which release is live. Without `url` this one is. With it, this one is live while a GET of `url` answers
 * its name; on errors the last answer stands, and before the first answer it is not live.
 * @param {{release: string, url?: string, log: import('@cortex-os/observability').Logger, intervalMs?: number}} options
 */
export function watchLive({ release, url, log, intervalMs = 1000 }) {
  let active = !url;
  let timer;
  let stopped = false;
  let failing = false;

  async function ask() {
    try {
      const answer = await call(url, { part: 'the live switch', timeoutMs: 900 });
      if (!answer.ok) throw new Error(`the live switch answers ${answer.status}`);
      const now = answer.text.trim() === release;
      if (now !== active) log.info(now ? 'this release is live: taking live work' : 'this release is not live: leaving live work alone');
      active = now;
      failing = false;
    } catch (error) {
      if (!failing) log.warn('keeping the last known live release', { error });
      failing = true;
    }
    if (!stopped) timer = setTimeout(ask, intervalMs);
  }
  const first = url ? ask() : Promise.resolve();

  return {
    get active() { return active; },
    /** Settles after the first answer or error. */
    first,
    /** @returns {string[]} the scopes whose work this release takes now */
    scopes: () => (active ? [release, 'live'] : [release]),
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
