// One order, done: the plan is run with this worker's hands, and its end is reported to where the order came from.
import { readOrder, report as asReport } from '@cortex-os/a2a-services';
import { Problem } from '@cortex-os/kernel';
import { currentTrace } from '@cortex-os/observability';
import { runPlan } from '@cortex-os/orchestration';
import { createHands } from './hands.mjs';

const MAX_TRIES = 3;

/**
 * @param {{memories: any, registry: any, gatewayUrl: string, log: import('@cortex-os/observability').Logger,
 *   report: (address: {scope: string, tenant: string}, body: object, id: string) => Promise<void>, count: (state: string) => void}} parts
 */
export function createAgent({ memories, registry, gatewayUrl, log, report, count }) {
  /** @returns {Promise<{state: string, result: object}>} @throws {Problem} 503 while it is worth another try */
  async function doTask({ taskId, tenant, text, plan, hops }, tries) {
    const seen = [...hops, { service: 'agents', traceId: currentTrace()?.traceId ?? '' }];
    const hands = createHands({ memories, registry, gatewayUrl, tenant, taskId, met: (hop) => hop && seen.push(hop) });
    try {
      return { state: 'completed', result: { ...await runPlan(plan, hands), hops: seen } };
    } catch (error) {
      if (!(error instanceof Problem) || (error.status === 503 && tries < MAX_TRIES)) throw error;
      log.warn('a task cannot be done', { text: text.slice(0, 80), error });
      return { state: 'failed', result: { error: error.message, hops: seen } };
    }
  }

  async function doForget({ tenant }) {
    await memories.forget(tenant);
    return { state: 'completed', result: {} };
  }

  /** @param {any} body an order @param {{scope: string, tries: number}} about how it came */
  return async function handle(body, { scope, tries }) {
    const order = readOrder(body);
    const { taskId, tenant, kind } = order;
    if (kind !== 'task' && kind !== 'forget') throw new Problem(400, 'bad_order', `nobody knows how to do a ${kind}`);
    const { state, result } = kind === 'task' ? await doTask(order, tries) : await doForget(order);
    await report({ scope, tenant }, asReport({ taskId, tenant, kind, state, result }), `${taskId}-${state}`);
    count(state);
    log.info('order done', { kind, state, task: taskId });
  };
}
