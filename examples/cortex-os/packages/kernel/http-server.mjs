// A small HTTP server: routes, limits, trace context, one log line per request, and a drain that loses no request.
import { createServer } from 'node:http';
import { parseTraceparent, traceHeaders, withTrace } from '@cortex-os/observability';
import { Problem } from './problems.mjs';

const MAX_BODY = 256 * 1024;
const QUIET = new Set(['/live', '/ready', '/metrics']);

/**
 * @typedef {{method: string, path: string, params: Record<string, string>, query: URLSearchParams,
 *   headers: import('node:http').IncomingHttpHeaders, body: () => Promise<Buffer>, json: () => Promise<any>}} Request
 * @typedef {{status?: number, json?: unknown, text?: string, type?: string, headers?: Record<string, string>}} Reply
 * @typedef {[method: string, pattern: string, handler: (request: Request) => Promise<Reply>|Reply]} Route
 *
 * @param {{service: string, routes: Route[], log: import('@cortex-os/observability').Logger, metrics: any}} options
 */
export function createHttpServer({ service, routes, log, metrics }) {
  const requests = metrics.counter('http_requests_total', 'Requests answered.');
  const seconds = metrics.histogram('http_request_duration_seconds', 'Time to answer.');
  const table = routes.map(([method, pattern, handler]) => ({ method, pattern, handler, regex: compile(pattern) }));
  let draining = false;

  const server = createServer((incoming, outgoing) => {
    withTrace(parseTraceparent(incoming.headers.traceparent), () => answer(incoming, outgoing));
  });
  // Longer than any client's idle time, so that it is the client who closes an idle connection.
  server.keepAliveTimeout = 75_000;
  server.requestTimeout = 30_000;

  async function answer(incoming, outgoing) {
    const started = performance.now();
    const { pathname, searchParams } = new URL(incoming.url, 'http://localhost');
    const found = table.filter(({ regex }) => regex.test(pathname));
    const route = found.find(({ method }) => method === incoming.method);
    let reply;
    try {
      if (!route) throw notFound(found, pathname);
      const params = route.regex.exec(pathname).groups ?? {};
      const body = () => readBody(incoming);
      reply = await route.handler({
        method: incoming.method, path: pathname, query: searchParams, headers: incoming.headers,
        params: Object.fromEntries(Object.entries(params).map(([key, value]) => [key, decoded(value)])),
        body, json: async () => asJson(await body()),
      });
    } catch (error) {
      reply = failure(error, log);
    }
    send(incoming, outgoing, reply);
    const took = (performance.now() - started) / 1000;
    const labels = { method: incoming.method, route: route?.pattern ?? 'none', status: outgoing.statusCode };
    requests.inc(labels);
    seconds.observe(took, { route: labels.route });
    log[QUIET.has(pathname) ? 'debug' : 'info']('request', { ...labels, path: pathname, ms: Math.round(took * 1000) });
  }

  function send(incoming, outgoing, { status = 200, json, text, type, headers = {} }) {
    const body = json === undefined ? text ?? '' : JSON.stringify(json);
    // A body that was not read to its end would be taken for the next request of a kept-alive connection.
    const close = draining || (!incoming.complete && expectsBody(incoming));
    outgoing.writeHead(status, {
      'content-type': type ?? (json === undefined ? 'text/plain; charset=utf-8' : 'application/json'),
      'content-length': Buffer.byteLength(body),
      'x-served-by': service,
      ...traceHeaders(),
      ...(close && { connection: 'close' }),
      ...headers,
    });
    outgoing.end(incoming.method === 'HEAD' ? undefined : body);
  }

  return {
    get draining() { return draining; },

    /** @returns {Promise<number>} the port; 0 asks for a free one */
    listen: (port, host) => new Promise((resolve, reject) => {
      server.once('error', (error) => reject(new Error(`cannot listen on ${host}:${port} (${error.code})`)));
      server.listen(port, host, () => resolve(server.address().port));
    }),

    /**
     * Every answer from now on ends its connection; after `lingerMs`, in which clients with a kept-alive connection
     * learn so, nothing is accepted; what is in flight has until `deadlineMs`.
     */
    async drain({ lingerMs = 1000, deadlineMs = 8000 } = {}) {
      draining = true;
      await new Promise((resolve) => setTimeout(resolve, lingerMs));
      const timer = setTimeout(() => server.closeAllConnections(), Math.max(0, deadlineMs - lingerMs));
      await new Promise((resolve) => server.close(resolve));
      clearTimeout(timer);
    },
  };
}

function compile(pattern) {
  return new RegExp(`^${pattern.replace(/[.]/g, '\\.').replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`);
}

function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    throw new Problem(400, 'bad_path', 'the path is not valid percent-encoding');
  }
}

function expectsBody({ headers }) {
  return Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined;
}

async function readBody(incoming) {
  const chunks = [];
  let size = 0;
  // Leaving the loop must not destroy the connection: the answer still has to go out on it.
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > MAX_BODY) throw new Problem(413, 'too_large', `the body is larger than ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function asJson(body) {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new Problem(400, 'bad_json', 'the body is not JSON');
  }
}

function notFound(found, path) {
  return found.length ? new Problem(405, 'bad_method', `${path} does not take this method`) : new Problem(404, 'not_found', `nothing is at ${path}`);
}

function failure(error, log) {
  if (error instanceof Problem) return { status: error.status, json: { error: error.code, message: error.message } };
  log.error('request failed', { error, stack: error.stack });
  return { status: 500, json: { error: 'internal', message: 'something went wrong here; the log has the trace id' } };
}
