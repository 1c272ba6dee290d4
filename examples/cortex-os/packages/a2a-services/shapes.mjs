// Messages, tasks and status updates as A2A writes them: https://a2a-protocol.org/
import { randomUUID } from 'node:crypto';
import { Problem } from '@cortex-os/kernel';

/** States after which a task changes no more. */
const FINAL = new Set(['completed', 'failed']);

/**
 * @typedef {{id: string, tenant: string, text: string, state: string, plan?: object, result?: object, createdAt: string,
 *   updatedAt: string, relayedAt?: string|null}} Stored a task as cortex-os stores it
 */

/** A stored task as an A2A task. @param {Stored} stored @param {object} [metadata] what else the reader should know */
export function asTask({ id, tenant, text, state, plan, result, createdAt, updatedAt, relayedAt }, metadata = {}) {
  return {
    kind: 'task', id, contextId: tenant,
    status: { state, timestamp: updatedAt },
    history: [{ kind: 'message', role: 'user', messageId: id, parts: [{ kind: 'text', text }] }],
    artifacts: result ? [{ artifactId: `${id}-result`, name: 'result', parts: [{ kind: 'data', data: result }] }] : [],
    metadata: { plan, createdAt, relayedAt, ...metadata },
  };
}

/**
 * What cortex-os asks of an agent.
 * @param {{taskId: string, tenant: string, kind: 'task'|'forget', text: string, plan?: object, hops?: object[]}} work
 */
export function order({ taskId, tenant, kind, text, plan, hops = [] }) {
  return {
    kind: 'message', role: 'user', messageId: randomUUID(), taskId, contextId: tenant, parts: [{ kind: 'text', text }],
    metadata: { order: kind, plan, hops },
  };
}

/** @throws {Problem} when it is no order */
export function readOrder(message) {
  const text = message?.parts?.[0]?.text;
  if (message?.kind !== 'message' || !message.taskId || !message.contextId || typeof text !== 'string') throw new Problem(400, 'bad_order', 'this is no order');
  const { order: kind, plan, hops = [] } = message.metadata ?? {};
  return { taskId: message.taskId, tenant: message.contextId, kind, text, plan, hops };
}

/** What an agent reports when it has finished. @param {{taskId: string, tenant: string, kind: string, state: string, result: object}} outcome */
export function report({ taskId, tenant, kind, state, result }) {
  return {
    kind: 'status-update', taskId, contextId: tenant, final: true,
    status: { state, timestamp: new Date().toISOString() },
    metadata: { order: kind, result },
  };
}

/** @throws {Problem} when it is no report of an end */
export function readReport(update) {
  const state = update?.status?.state;
  if (update?.kind !== 'status-update' || !update.taskId || !update.contextId || !FINAL.has(state)) throw new Problem(400, 'bad_report', 'this is no report');
  return { taskId: update.taskId, tenant: update.contextId, kind: update.metadata?.order, state, result: update.metadata?.result ?? {} };
}
