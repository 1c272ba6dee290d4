// Are the parts that a service needs reachable? One question at a time, whose answer counts for `ttlMs`, however many ask.
// `need`: `always` = not ready without it; `once` = must have been reached since the start (so that a wrong address
// or password stops a rollout), and may be lost later, as a cache may; `optional` = only reported.
import { within } from './problems.mjs';

/**
 * @typedef {{name: string, check: () => Promise<unknown>, need?: 'always'|'once'|'optional'}} Dependency
 * @param {Dependency[]} dependencies @param {{ttlMs?: number, timeoutMs?: number}} [options]
 */
export function watchDependencies(dependencies, { ttlMs = 1000, timeoutMs = 1500 } = {}) {
  const reached = new Set();
  let current;
  let underWay = false;
  let answered = -Infinity;

  async function checkOne({ name, check, need = 'always' }) {
    const started = performance.now();
    try {
      await within(check(), timeoutMs, `asking ${name}`);
      reached.add(name);
      return [name, { status: 'ok', need, ms: Math.round(performance.now() - started) }];
    } catch (error) {
      return [name, { status: 'down', need, reason: error.message }];
    }
  }

  async function components() {
    if (!underWay && performance.now() - answered > ttlMs) {
      underWay = true;
      current = Promise.all(dependencies.map(checkOne)).finally(() => {
        underWay = false;
        answered = performance.now();
      });
    }
    return Object.fromEntries(await current);
  }

  const down = (all, blocks) => Object.entries(all).filter(([name, one]) => one.status === 'down' && blocks(name, one.need));

  return {
    /** @returns {Promise<{ready: boolean, reasons: string[]}>} */
    async ready() {
      const missing = down(await components(), (name, need) => need === 'always' || (need === 'once' && !reached.has(name)));
      return { ready: missing.length === 0, reasons: missing.map(([name, { reason }]) => `${name}: ${reason}`) };
    },

    /** @returns {Promise<{status: 'ok'|'degraded'|'down', components: object}>} degraded: only optional parts are down */
    async report() {
      const all = await components();
      const needed = down(all, (_, need) => need !== 'optional').length;
      return { status: needed ? 'down' : down(all, () => true).length ? 'degraded' : 'ok', components: all };
    },
  };
}
