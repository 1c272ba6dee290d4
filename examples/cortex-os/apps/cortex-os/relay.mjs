// From the outbox to the bus: what this release may send, in order, as soon as it is written.

const IDLE_MS = 250;
const FAILED_MS = 1000;

/**
 * @param {{store: any, bus: any, live: {scopes: () => string[]}, lifeMs: number, log: import('@cortex-os/observability').Logger}} parts
 */
export function startRelay({ store, bus, live, lifeMs, log }) {
  let stopping = false;
  let wake = () => {};
  let failing = false;

  const sleep = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });

  async function run() {
    while (!stopping) {
      try {
        const sent = await store.relay(live.scopes(), lifeMs, ({ id, tenant, scope, body, traceparent }) => (
          bus.publish('tasks', { scope, tenant }, body, id, { traceparent })));
        failing = false;
        if (sent === 0) await sleep(IDLE_MS);
      } catch (error) {
        if (!failing) log.warn('cannot relay, trying again', { error });
        failing = true;
        await sleep(FAILED_MS);
      }
    }
  }
  const running = run();

  return {
    /** Something waits. */
    kick: () => wake(),
    async stop() {
      stopping = true;
      wake();
      await running;
    },
  };
}
