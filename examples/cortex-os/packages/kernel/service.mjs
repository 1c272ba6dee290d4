// The life of a service: start, probes, and an orderly end within ten seconds of SIGTERM.
import { createLogger, createMetrics } from '@cortex-os/observability';
import { watchDependencies } from './dependencies.mjs';
import { createHttpServer } from './http-server.mjs';
import { identityFrom, setting } from './settings.mjs';

/**
 * @typedef {{log: import('@cortex-os/observability').Logger, metrics: any, env: NodeJS.ProcessEnv,
 *   identity: {service: string, release: string, revision: string}}} Context
 * @typedef {{routes?: import('./http-server.mjs').Route[], dependencies?: import('./dependencies.mjs').Dependency[],
 *   details?: () => object, stop?: () => Promise<void>, close?: () => Promise<void>}} Parts
 *   `details` are added to `/health`; `stop` ends taking work and finishes what was begun; `close` lets the stores go
 *
 * @param {{name: string, port: number, setup: (context: Context) => Promise<Parts>|Parts, env?: NodeJS.ProcessEnv,
 *   write?: (line: string) => void, lingerMs?: number}} options
 */
export async function startService({ name, port, setup, env = process.env, write, lingerMs }) {
  const identity = identityFrom(name, env);
  const log = createLogger({ ...identity, level: setting('LOG_LEVEL', 'info', env), write });
  const metrics = createMetrics();
  const { routes = [], dependencies = [], details = () => ({}), stop, close } = await setup({ log, metrics, identity, env });
  const watch = watchDependencies(dependencies);
  metrics.gauge('cortex_release_info', 'The release that runs here.', () => [[identity, 1]]);
  metrics.gauge('process_uptime_seconds', 'Time since the start.', () => process.uptime());
  metrics.gauge('process_resident_memory_bytes', 'Memory in use.', () => process.memoryUsage.rss());

  const server = createHttpServer({ service: name, log, metrics, routes: [
    ['GET', '/live', () => ({ json: { status: 'ok' } })],
    ['GET', '/ready', async () => {
      const { ready, reasons } = server.draining ? { ready: false, reasons: ['stopping'] } : await watch.ready();
      return { status: ready ? 200 : 503, json: { ready, reasons } };
    }],
    ['GET', '/health', async () => {
      const report = await watch.report();
      return { status: report.status === 'down' ? 503 : 200, json: { ...identity, ...report, ...details() } };
    }],
    ['GET', '/metrics', () => ({ text: metrics.render(), type: 'text/plain; version=0.0.4; charset=utf-8' })],
    ['GET', '/version', () => ({ json: identity })],
    ...routes,
  ] });
  const listening = await server.listen(Number(setting('PORT', String(port), env)), setting('HOST', '0.0.0.0', env));
  log.info('listening', { port: listening });

  return {
    port: listening,
    log,
    async stop() {
      await Promise.all([server.drain({ lingerMs }), stop?.()]);
      await close?.();
    },
  };
}

/** Runs a service as the process: signals end it in order with exit 0; an error ends it with one line and exit 1. */
export async function runService(options) {
  const fallback = createLogger({ service: options.name, release: process.env.CORTEX_RELEASE });
  let service;
  const die = (error, fields = {}) => {
    (service?.log ?? fallback).error(error.message, fields);
    process.exit(1);
  };
  const crash = (error) => die(error, { stack: error.stack });
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  let stopping = false;
  const end = async (signal) => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => die(new Error('could not stop within 9 s')), 9000).unref();
    const log = service?.log ?? fallback;
    log.info(`stopping on ${signal}`);
    await service?.stop();
    log.info('stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, end);
  // What prevents a start is a matter of configuration: its message says all, a stack would only bury it.
  service = await startService(options).catch((error) => die(error));
}
