import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger, createMetrics, currentTrace, parseTraceparent, traceHeaders, withTrace } from './index.mjs';

const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

test('a hop keeps the trace id and makes a span of its own', async () => {
  await withTrace(parseTraceparent(PARENT), async () => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal(currentTrace().traceId, '4bf92f3577b34da6a3ce929d0e0e4736');
    assert.equal(currentTrace().parentId, '00f067aa0ba902b7');
    assert.match(traceHeaders().traceparent, /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$/);
  });
});

test('a missing, malformed or all-zero traceparent starts a new trace', () => {
  for (const bad of [undefined, '', 'nonsense', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, PARENT.replace('00-', 'ff-')]) {
    const trace = parseTraceparent(bad);
    assert.match(trace.traceId, /^[0-9a-f]{32}$/);
    assert.notEqual(trace.traceId, '4bf92f3577b34da6a3ce929d0e0e4736');
  }
});

test('a log line is JSON and carries the trace it belongs to', () => {
  const lines = [];
  const log = createLogger({ service: 'api', release: 'r7', write: (line) => lines.push(line) });
  withTrace(parseTraceparent(PARENT), () => log.warn('slow', { error: new Error('late'), ms: 12 }));
  log.debug('not shown at level info');
  assert.equal(lines.length, 1);
  const { level, service, release, msg, trace_id, error, ms } = JSON.parse(lines[0]);
  assert.deepEqual({ level, service, release, msg, trace_id, error, ms }, {
    level: 'warn', service: 'api', release: 'r7', msg: 'slow', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', error: 'late', ms: 12,
  });
});

test('metrics render as Prometheus text, with cumulative buckets and escaped labels', () => {
  const metrics = createMetrics();
  metrics.counter('hits_total', 'Hits.').inc({ path: 'a"b\\c' });
  metrics.gauge('active', 'Active.', () => true);
  metrics.histogram('wait_seconds', 'Wait.').observe(0.3);
  const text = metrics.render();
  assert.match(text, /hits_total\{path="a\\"b\\\\c"\} 1\n/);
  assert.match(text, /# TYPE active gauge\nactive 1\n/);
  assert.match(text, /wait_seconds_bucket\{le="0.2"\} 0\nwait_seconds_bucket\{le="0.5"\} 1\n/);
  assert.match(text, /wait_seconds_bucket\{le="\+Inf"\} 1\nwait_seconds_sum 0.3\nwait_seconds_count 1\n/);
});
