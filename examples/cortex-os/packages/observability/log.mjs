// JSON lines on stdout, one event each, with the trace they belong to. Secrets are never handed to it.
import { currentTrace } from './trace.mjs';

const LEVELS = ['debug', 'info', 'warn', 'error'];

/**
 * @typedef {Record<'debug'|'info'|'warn'|'error', (msg: string, fields?: object) => void>} Logger
 * @param {{service: string, release?: string, level?: string, write?: (line: string) => void}} options
 * @returns {Logger}
 */
export function createLogger({ service, release = 'dev', level = 'info', write = (line) => process.stdout.write(line) }) {
  const lowest = Math.max(0, LEVELS.indexOf(level));
  const entry = (name) => (msg, fields = {}) => {
    if (LEVELS.indexOf(name) < lowest) return;
    const trace = currentTrace();
    write(JSON.stringify({
      time: new Date().toISOString(), level: name, service, release, msg,
      ...(trace && { trace_id: trace.traceId, span_id: trace.spanId }),
      ...printable(fields),
    }) + '\n');
  };
  return /** @type {Logger} */ (Object.fromEntries(LEVELS.map((name) => [name, entry(name)])));
}

/** Errors become their message: JSON.stringify would print them as `{}`. */
function printable(fields) {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? value.message : value]));
}
