// What cortex-os does with a request: check it, plan it, store it together with the order for the agents.
import { randomUUID } from 'node:crypto';
import { asTask, order } from '@cortex-os/a2a-services';
import { Problem, scopeOf } from '@cortex-os/kernel';
import { currentTrace, traceHeaders } from '@cortex-os/observability';
import { planTask } from '@cortex-os/orchestration';
import { idempotencyKey, taskId, taskText, tenantName } from '@cortex-os/security';

const CACHE_SECONDS = 300;
const FORGET_WAIT_MS = 5000;

/** Only what changes no more is cached, so nothing cached can be stale. */
const finished = (task) => task?.state === 'completed' || task?.state === 'failed';

/**
 * @param {{store: ReturnType<import('./store.mjs').taskStore>, cache: any, bus: any, release: string, kick: () => void,
 *   forgetWaitMs?: number}} parts `kick` tells the relay that something waits
 */
export function createBrain({ store, cache, bus, release, kick, forgetWaitMs = FORGET_WAIT_MS }) {
  /** The hop that this service is, to be shown with the result. */
  const hop = () => ({ service: 'cortex-os', traceId: currentTrace()?.traceId ?? '' });

  function entry({ tenant, kind, key, text, plan }) {
    const id = randomUUID();
    return {
      id, tenant, kind, key, text, plan, scope: scopeOf(tenant, release),
      body: order({ taskId: id, tenant, kind, text, plan, hops: [hop()] }),
      traceparent: traceHeaders().traceparent,
    };
  }

  return {
    /** @returns the A2A task; `metadata.repeated` when the tenant sent this key before */
    async send({ tenant, text, key }) {
      const asked = { tenant: tenantName(tenant), text: taskText(text), key: idempotencyKey(key) ?? randomUUID(), kind: 'task' };
      const { task, repeated } = await store.add(entry({ ...asked, plan: planTask(asked.text) }));
      kick();
      return asTask(task, { repeated });
    },

    async get(tenant, id) {
      tenantName(tenant);
      const { value: task, cache: how } = await cache.through(cacheKey(taskId(id)), CACHE_SECONDS, () => store.get(id), finished);
      if (!task || task.tenant !== tenant) throw new Problem(404, 'not_found', `tenant ${tenant} has no task ${id}`);
      return asTask(task, { cache: how });
    },

    async list(tenant) {
      return (await store.list(tenantName(tenant))).map((task) => asTask(task));
    },

    /**
     * Removes a test tenant: its rows at once, its memories by an order to the agents, which is waited for a while.
     * @returns {Promise<{tasks: number, outbox: number, memories: 'deleted'|'pending'}>}
     */
    async deleteTenant(tenant) {
      if (!tenantName(tenant).startsWith('test-')) throw new Problem(403, 'forbidden', 'only tenants whose name begins with test- can be deleted');
      await bus.purge(tenant).catch(() => {}); // what waits there would find no task: harmless, only slower
      const forget = entry({ tenant, kind: 'forget', key: `forget-${randomUUID()}`, text: `forget ${tenant}` });
      const removed = await store.transaction(async (client) => {
        const gone = await store.removeTenant(tenant, client);
        await store.add(forget, client);
        return gone;
      });
      await cache.forget(removed.ids.map(cacheKey));
      kick();
      const memories = await vanished(() => store.get(forget.id), forgetWaitMs) ? 'deleted' : 'pending';
      return { tasks: removed.ids.length, outbox: removed.outbox, memories };
    },

    /** An agent's report: the end of a task, or the confirmation that a tenant is forgotten. */
    async finish({ taskId: id, tenant, kind, state, result }) {
      if (kind === 'forget') await store.remove(id);
      else await store.finish({ taskId: id, tenant, state, result: { ...result, hops: [...result.hops ?? [], { ...hop(), as: 'listener' }] } });
    },
  };
}

function cacheKey(id) {
  return `task:${id}`;
}

async function vanished(find, waitMs) {
  for (const deadline = Date.now() + waitMs; Date.now() < deadline;) {
    if (!await find()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
