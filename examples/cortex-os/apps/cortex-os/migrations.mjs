// Migrations: files NNNN_name.sql, whose first line says `-- compatible` (the release before still runs on the new
// schema) or `-- breaking`. Forward only; each in a transaction; one migrator at a time.
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

export const FOLDER = fileURLToPath(new URL('./migrations/', import.meta.url));
const LOCK = 7_263_001; // any number, as long as every release uses the same

/** @typedef {{version: number, name: string, compatible: boolean, sql: string}} Migration */

/** @returns {Promise<Migration[]>} in order @throws {Error} naming the file that breaks a rule */
export async function readMigrations(folder = FOLDER) {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(files.map(async (file, i) => {
    const [, digits, name] = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file) ?? [];
    if (!digits) throw new Error(`migrations/${file}: expected a name such as 0003_what_it_does.sql`);
    if (Number(digits) !== i + 1) throw new Error(`migrations/${file}: expected number ${String(i + 1).padStart(4, '0')}: numbers have no gaps and no doubles`);
    const sql = await readFile(`${folder}/${file}`, 'utf8');
    const [, kind] = /^-- (compatible|breaking)\s*$/m.exec(sql.split('\n', 1)[0]) ?? [];
    if (!kind) throw new Error(`migrations/${file}: its first line must be "-- compatible" or "-- breaking"`);
    return { version: Number(digits), name, compatible: kind === 'compatible', sql };
  }));
}

/**
 * Applies what is missing. Versions that a newer release applied are left alone.
 * @param {import('pg').Client} client connected @param {Migration[]} migrations @param {(line: string) => void} say
 * @returns {Promise<number>} the head that the schema has now
 */
export async function migrate(client, migrations, say) {
  await client.query("SET lock_timeout = '30s'");
  await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
  await client.query(`CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY, name text NOT NULL, compatible boolean NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`);
  const { rows } = await client.query('SELECT version, name FROM schema_migrations');
  const applied = new Map(rows.map(({ version, name }) => [version, name]));
  for (const { version, name, compatible, sql } of migrations) {
    if (applied.has(version)) {
      if (applied.get(version) !== name) throw new Error(`migration ${version} was applied as "${applied.get(version)}", and is "${name}" here: give the new one the next number`);
      continue;
    }
    try {
      await client.query('BEGIN');
      await client.query(sql);
      await client.query('INSERT INTO schema_migrations (version, name, compatible) VALUES ($1, $2, $3)', [version, name, compatible]);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw new Error(`migration ${version} (${name}) failed and was undone: ${error.message}`);
    }
    applied.set(version, name);
    say(`applied ${version} ${name} (${compatible ? 'compatible' : 'breaking'})`);
  }
  return Math.max(0, ...applied.keys());
}

/**
 * Does this release run on the schema as it is? Beyond `max` only over compatible migrations.
 * @param {{query: (sql: string) => Promise<{rows: any[]}>}} client @param {{min: number, max: number}} range
 * @throws {Error} saying what was found and what was expected
 */
export async function checkSchema(client, { min, max }) {
  const { rows } = await client.query('SELECT version, compatible FROM schema_migrations');
  const head = Math.max(0, ...rows.map(({ version }) => version));
  const broken = rows.find(({ version, compatible }) => version > max && !compatible);
  if (head < min) throw new Error(`the schema is at ${head}, this release needs ${min}: run migrate.mjs`);
  if (broken) throw new Error(`the schema has the breaking migration ${broken.version}, this release accepts up to ${max}`);
}
