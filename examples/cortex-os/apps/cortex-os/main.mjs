// cortex-os: takes tasks over A2A, plans and stores them, relays them to the agents, stores what they report.
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { a2aRoutes, readReport } from '@cortex-os/a2a-services';
import { runService, secret, setting, watchLive } from '@cortex-os/kernel';
import { openCache } from '@cortex-os/kernel/cache';
import { MESSAGE_LIFE_MS, openBus } from '@cortex-os/orchestration/bus';
import { createBrain } from './brain.mjs';
import { databaseConfig } from './database.mjs';
import { checkSchema } from './migrations.mjs';
import { startRelay } from './relay.mjs';
import { taskStore } from './store.mjs';

const SCHEMA = JSON.parse(readFileSync(new URL('./schema.json', import.meta.url), 'utf8'));

runService({
  name: 'cortex-os',
  port: 3000,
  async setup({ log, metrics, identity: { release } }) {
    const pool = new pg.Pool({ ...databaseConfig(), max: 8, statement_timeout: 5000, query_timeout: 6000 });
    // A connection that breaks says so by an event as well as to its query; unheard, the event would end the process.
    pool.on('connect', (client) => client.on('error', (error) => log.warn('a connection to the database was lost', { error })));
    pool.on('error', () => {});
    const store = taskStore(pool);
    const cache = openCache({ url: setting('REDIS_URL'), password: secret('REDIS_PASSWORD'), log });
    const bus = openBus({ url: setting('NATS_URL'), token: secret('NATS_TOKEN'), name: `cortex-os-${release}`, log });
    const live = watchLive({ release, url: process.env.CORTEX_LIVE_URL, log });
    const relay = startRelay({ store, bus, live, lifeMs: MESSAGE_LIFE_MS + 60_000, log });
    const brain = createBrain({ store, cache, bus, release, kick: relay.kick });
    bus.work({ prefix: 'results', taker: 'cortex-os', release, live, handle: (body) => brain.finish(readReport(body)) });
    metrics.gauge('cortex_active', 'Whether this release takes live work.', () => live.active);

    return {
      routes: a2aRoutes({ name: 'cortex-os', description: 'Plans tasks and has them done.', release }, brain),
      dependencies: [
        { name: 'postgres', check: () => store.ping() },
        { name: 'schema', check: () => checkSchema(pool, SCHEMA) },
        { name: 'nats', check: () => bus.ping() },
        { name: 'redis', check: () => cache.ping(), need: 'once' },
      ],
      details: () => ({ active: live.active, schema: SCHEMA }),
      async stop() {
        live.stop();
        await Promise.all([relay.stop(), bus.stop()]);
      },
      async close() {
        await Promise.all([bus.close(), cache.close(), pool.end()]);
      },
    };
  },
});
