// The bus: JetStream streams on which a message is taken once, by the release that it is meant for.
// Subjects are <prefix>.<scope>.<tenant>; kernel's releases say which scopes a release may take.
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers, nanos } from '@nats-io/transport-node';
import { within } from '@cortex-os/kernel';
import { traceHeaders } from '@cortex-os/observability';
import { workLoops } from './work.mjs';

/** A message that nobody took in this time is dropped. The outbox sends it again then: never two copies at once. */
export const MESSAGE_LIFE_MS = 60 * 60 * 1000;

/** Both streams give a message to one taker and then forget it. */
const STREAMS = { tasks: 'TASKS', results: 'RESULTS' };

/**
 * Connects in the background and keeps trying.
 * @param {{url: string, token: string, name: string, log: import('@cortex-os/observability').Logger}} options
 */
export function openBus({ url, token, name, log }) {
  let connection;
  let closing = false;
  let ready; // { js, jsm } once the streams exist
  const loops = [];

  const connecting = (async () => {
    for (let failed = false; !closing; failed = true) {
      try {
        connection = await connect({
          servers: url, token, name, timeout: 2000, pingInterval: 5000, maxPingOut: 2,
          reconnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 500, ignoreAuthErrorAbort: true,
        });
        return;
      } catch (error) {
        if (!failed) log.warn('the bus cannot be reached, trying again', { error });
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  })();

  async function streams() {
    if (!connection) await within(connecting, 2000, 'connecting to the bus');
    ready ??= (async () => {
      const jsm = await jetstreamManager(connection, { checkAPI: false, timeout: 2000 });
      for (const [prefix, stream] of Object.entries(STREAMS)) await ensureStream(jsm, stream, `${prefix}.*.*`);
      return { jsm, js: jetstream(connection, { timeout: 2000 }) };
    })();
    try {
      return await ready;
    } catch (error) {
      ready = undefined;
      throw error;
    }
  }

  return {
    /** @param {'tasks'|'results'} prefix @param {{scope: string, tenant: string}} address @param {object} body @param {string} id
     *   a second message with the same id is dropped within two minutes */
    async publish(prefix, { scope, tenant }, body, id, trace = traceHeaders()) {
      const { js } = await streams();
      const meta = headers();
      if (trace.traceparent) meta.set('traceparent', trace.traceparent);
      try {
        await js.publish(`${prefix}.${scope}.${tenant}`, JSON.stringify(body), { msgID: id, headers: meta, timeout: 2000 });
      } catch (error) {
        ready = undefined; // the stream may have been lost: look again next time
        throw error;
      }
    },

    /**
     * Takes messages of `prefix` in the scopes that `live` allows, until the bus closes.
     * @param {{prefix: 'tasks'|'results', taker: string, release: string, live: {scopes: () => string[]}, loops?: number,
     *   handle: (body: any, about: {scope: string, tries: number}) => Promise<void>}} work see work.mjs
     */
    work(work) {
      loops.push(workLoops({ ...work, stream: STREAMS[work.prefix], streams, log, lost: () => { ready = undefined; } }));
    },

    /** Removes what waits for agents in the tenant's name, in any scope. */
    async purge(tenant) {
      const { jsm } = await streams();
      await jsm.streams.purge(STREAMS.tasks, { filter: `tasks.*.${tenant}` });
    },

    async ping() {
      if (!connection || connection.isClosed()) throw new Error('the bus is not connected');
      await connection.flush();
      await streams();
    },

    /** Ends taking, after what is in hand is done. */
    async stop() {
      await Promise.all(loops.map((one) => one.stop()));
    },

    async close() {
      closing = true;
      if (connection && !connection.isClosed()) await connection.drain().catch(() => connection.close());
    },
  };
}

async function ensureStream(jsm, name, subject) {
  const wanted = { name, subjects: [subject], retention: 'workqueue', storage: 'file', max_age: nanos(MESSAGE_LIFE_MS) };
  try {
    await jsm.streams.info(name);
  } catch {
    await jsm.streams.add(wanted);
  }
}
