// One call to another service: deadline, trace context, and a retry only where a second try can do no harm.
import { traceHeaders } from '@cortex-os/observability';
import { Unreachable } from './problems.mjs';

/** Failures before the request left this process. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/** @typedef {{service: string, traceId: string}} Hop who answered, and the trace it answered in */

/**
 * @param {string} url
 * @param {{part: string, method?: string, json?: unknown, headers?: Record<string, string>, timeoutMs?: number,
 *   idempotent?: boolean}} options `part` is whom we call, for messages; `idempotent`: may be sent twice
 * @returns {Promise<{status: number, ok: boolean, headers: Headers, text: string, json: any,
 *   hop?: Hop}>} `json` is undefined when the body is not JSON
 * @throws {Unreachable}
 */
export async function call(url, options) {
  const { part, method = 'GET', json, headers = {}, timeoutMs = 3000, idempotent = method === 'GET' } = options;
  const signal = AbortSignal.timeout(timeoutMs);
  const request = {
    method,
    signal,
    headers: { ...(json !== undefined && { 'content-type': 'application/json' }), ...traceHeaders(), ...headers },
    body: json === undefined ? undefined : JSON.stringify(json),
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await fetch(url, request);
      const text = await answer.text();
      return { status: answer.status, ok: answer.ok, headers: answer.headers, text, json: parsed(text), hop: hopOf(answer.headers) };
    } catch (error) {
      const code = error.cause?.code ?? error.name;
      const again = attempt === 1 && !signal.aborted && (idempotent || NEVER_SENT.has(code));
      if (!again) throw new Unreachable(part, signal.aborted ? `no answer within ${timeoutMs} ms` : `${code} at ${new URL(url).host}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** A dependency's check: does the service at `url` live? (Not whether it is ready: one outage must not spread.) */
export function lives(url, part) {
  return async () => {
    const { ok, status } = await call(new URL('/live', url).href, { part, timeoutMs: 1400 });
    if (!ok) throw new Unreachable(part, `/live answers ${status}`);
  };
}

/** @param {Headers} headers @returns {Hop|undefined} */
function hopOf(headers) {
  const service = headers.get('x-served-by');
  return service ? { service, traceId: headers.get('traceparent')?.split('-')[1] ?? '' } : undefined;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
