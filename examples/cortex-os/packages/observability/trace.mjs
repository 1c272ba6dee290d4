// W3C trace context, held for the duration of an asynchronous call: https://www.w3.org/TR/trace-context/
// A hop takes the caller's trace id, makes a span id of its own, and hands both on.
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';

/** @typedef {{traceId: string, spanId: string, parentId?: string, flags: string}} Trace */

const storage = new AsyncLocalStorage();
const FORMAT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** @returns {Trace} a trace that starts here */
export function newTrace() {
  return { traceId: randomBytes(16).toString('hex'), spanId: randomBytes(8).toString('hex'), flags: '01' };
}

/**
 * This hop's place in the caller's trace, or a new trace when the header is absent or invalid.
 * @param {string|undefined|null} header
 * @returns {Trace}
 */
export function parseTraceparent(header) {
  const [, traceId, parentId, flags] = FORMAT.exec(header ?? '') ?? [];
  const invalid = !traceId || header.startsWith('ff') || /^0+$/.test(traceId) || /^0+$/.test(parentId);
  return invalid ? newTrace() : { traceId, parentId, spanId: randomBytes(8).toString('hex'), flags };
}

/**
 * Runs `work` within `trace`; everything it awaits sees the same one.
 * @template T @param {Trace} trace @param {() => T} work @returns {T}
 */
export function withTrace(trace, work) {
  return storage.run(trace, work);
}

/** @returns {Trace|undefined} */
export function currentTrace() {
  return storage.getStore();
}

/** @returns {{traceparent?: string}} the header for the next hop; empty outside a trace */
export function traceHeaders() {
  const trace = currentTrace();
  return trace ? { traceparent: `00-${trace.traceId}-${trace.spanId}-${trace.flags}` } : {};
}
