// Tasks and their outbox in Postgres. A task and its outbox row are written together or not at all.
import { randomUUID } from 'node:crypto';
import { Problem } from '@cortex-os/kernel';

const LIST_LIMIT = 50;
const COLUMNS = `id, tenant, kind, text, plan, state, result, created_at AS "createdAt", updated_at AS "updatedAt", relayed_at AS "relayedAt"`;

/** @typedef {{id: string, taskId: string, tenant: string, scope: string, body: object, traceparent: string|null}} Outgoing */

/** @param {import('pg').Pool} pool */
export function taskStore(pool) {
  async function transaction(work) {
    const client = await pool.connect();
    let broken;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((lost) => { broken = lost; });
      throw error;
    } finally {
      client.release(broken);
    }
  }

  const query = (sql, values) => ask(() => pool.query(sql, values));

  return {
    /** @template T @param {(client: import('pg').PoolClient) => Promise<T>} work @returns {Promise<T>} */
    transaction: (work) => ask(() => transaction(work)),
    ping: () => query('SELECT 1'),

    /**
     * @param {{id: string, tenant: string, scope: string, kind?: string, key: string, text: string, plan?: object,
     *   body: object, traceparent?: string}} task
     * @returns {Promise<{task: any, repeated: boolean}>} the earlier task when the tenant used this key before
     */
    async add({ id, tenant, scope, kind = 'task', key, text, plan, body, traceparent }, client) {
      const write = async (on) => {
        const { rows } = await on.query(
          `INSERT INTO tasks (id, tenant, kind, idempotency_key, text, plan) VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (tenant, idempotency_key) DO NOTHING RETURNING ${COLUMNS}`, [id, tenant, kind, key, text, plan]);
        if (rows.length === 0) {
          const earlier = await on.query(`SELECT ${COLUMNS} FROM tasks WHERE tenant = $1 AND idempotency_key = $2`, [tenant, key]);
          return { task: earlier.rows[0], repeated: true };
        }
        await on.query('INSERT INTO outbox (id, task_id, tenant, scope, body, traceparent) VALUES ($1, $2, $3, $4, $5, $6)',
          [randomUUID(), id, tenant, scope, body, traceparent]);
        return { task: rows[0], repeated: false };
      };
      return client ? write(client) : ask(() => transaction(write));
    },

    async get(id) {
      return (await query(`SELECT ${COLUMNS} FROM tasks WHERE id = $1`, [id])).rows[0];
    },

    async list(tenant) {
      return (await query(`SELECT ${COLUMNS} FROM tasks WHERE tenant = $1 AND kind = 'task' ORDER BY created_at DESC LIMIT ${LIST_LIMIT}`, [tenant])).rows;
    },

    /** Stores how a task ended, once; its outbox row has done its duty. A report about a task that is gone changes nothing. */
    finish: ({ taskId, tenant, state, result }) => ask(() => transaction(async (client) => {
      await client.query("UPDATE tasks SET state = $3, result = $4, updated_at = now() WHERE id = $1 AND tenant = $2 AND state = 'submitted'", [taskId, tenant, state, result]);
      await client.query('DELETE FROM outbox WHERE task_id = $1', [taskId]);
    })),

    async remove(taskId) {
      await query('DELETE FROM tasks WHERE id = $1', [taskId]);
    },

    /** @returns {Promise<{ids: string[], outbox: number}>} what was removed */
    async removeTenant(tenant, client) {
      const outbox = await client.query('DELETE FROM outbox WHERE tenant = $1', [tenant]);
      const tasks = await client.query("DELETE FROM tasks WHERE tenant = $1 RETURNING id, kind", [tenant]);
      return { ids: tasks.rows.filter(({ kind }) => kind === 'task').map(({ id }) => id), outbox: outbox.rowCount };
    },

    /**
     * Locks rows that wait to be sent, hands each to `send`, and notes what was sent. Rows that were sent longer ago
     * than a message lives, and are still here, were lost on the way: they are sent again.
     * @param {string[]} scopes @param {number} lifeMs @param {(row: Outgoing) => Promise<void>} send
     * @returns {Promise<number>} how many were sent
     */
    relay: (scopes, lifeMs, send) => transaction(async (client) => {
      const { rows } = await client.query(
        `SELECT id, task_id AS "taskId", tenant, scope, body, traceparent FROM outbox
         WHERE scope = ANY($1) AND (sent_at IS NULL OR sent_at < now() - make_interval(secs => $2))
         ORDER BY position LIMIT 20 FOR UPDATE SKIP LOCKED`, [scopes, lifeMs / 1000]);
      for (const row of rows) {
        await send(row);
        await client.query('UPDATE outbox SET sent_at = now() WHERE id = $1', [row.id]);
        await client.query('UPDATE tasks SET relayed_at = now() WHERE id = $1', [row.taskId]);
      }
      return rows.length;
    }),
  };
}

/** What the driver throws says little to a caller: the database is named, its words follow. */
async function ask(work) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(503, 'database', `the database does not answer: ${error.message}`);
  }
}
