// The one-shot job that brings the schema to this release's head: node apps/cortex-os/migrate.mjs
// Prints what it applied and at last `head=<n>`; exit 1 with one line on stderr when it could not.
import pg from 'pg';
import { databaseConfig } from './database.mjs';
import { migrate, readMigrations } from './migrations.mjs';

const DEADLINE_MS = 20_000;

/** The store may be starting: its refusals are waited out, a wrong password is not. */
async function connected(config) {
  for (const deadline = Date.now() + DEADLINE_MS; ;) {
    const client = new pg.Client(config);
    client.on('error', () => {}); // reported by the query that it breaks
    try {
      await client.connect();
      return client;
    } catch (error) {
      const wrong = ['28P01', '28000', '3D000'].includes(error.code);
      if (wrong || Date.now() > deadline) throw new Error(`cannot connect to ${config.host}:${config.port}/${config.database}: ${error.message}`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

try {
  const migrations = await readMigrations();
  const client = await connected(databaseConfig());
  try {
    console.log(`head=${await migrate(client, migrations, console.log)}`);
  } finally {
    await client.end();
  }
} catch (error) {
  console.error(`migrate: ${error.message}`);
  process.exitCode = 1;
}
