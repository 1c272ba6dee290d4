// The test-runner: runs the tests, says how it goes, prints the JUnit report between two marker lines, deletes its
// tenants whatever happened, and exits 0 only when every test passed and nothing of it is left.
import { fileURLToPath } from 'node:url';
import { run } from 'node:test';
import { junit } from 'node:test/reporters';
import { readSettings, tenantsOf } from './settings.mjs';

const CLEANING_MS = 10_000;

const settings = told();
const { api } = await import('./client.mjs');

function told() {
  try {
    return readSettings();
  } catch (error) {
    console.error(`test-runner: ${error.message}`);
    process.exit(2);
  }
}

/** @returns {Promise<{failed: number, passed: number, report: string}>} */
async function runTests(signal) {
  const counts = { failed: 0, passed: 0 };
  const events = run({ files: [fileURLToPath(new URL('./system.spec.mjs', import.meta.url))], signal });
  const isTest = ({ details }) => details.type !== 'suite';
  events.on('test:pass', (event) => {
    if (!isTest(event)) return;
    counts.passed += 1;
    console.log(`ok      ${event.name} (${Math.round(event.details.duration_ms)} ms)`);
  });
  events.on('test:fail', (event) => {
    if (!isTest(event)) return;
    counts.failed += 1;
    const { cause, message } = event.details.error;
    console.log(`FAILED  ${event.name}: ${String(cause?.message ?? message).split('\n').filter(Boolean).join(' ').slice(0, 300)}`);
  });
  let report = '';
  for await (const chunk of events.compose(junit)) report += chunk;
  return { ...counts, report };
}

/** @returns {Promise<string|undefined>} what is left of the tenant; undefined when nothing is */
async function clean(tenant) {
  for (const deadline = Date.now() + CLEANING_MS; ;) {
    const { status, json } = await api('DELETE', `/v1/tenants/${tenant}`, { tenant }).catch((error) => ({ json: { message: error.message } }));
    if (status === 200) return json.memories === 'deleted' ? undefined : `${tenant}: memories ${json.memories}`;
    if (Date.now() > deadline) return `${tenant}: ${json.message}`;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const stop = new AbortController();
const timer = setTimeout(() => {
  console.log(`FAILED  the deadline of ${settings.deadlineMs / 1000} s is near: what still runs is ended`);
  stop.abort();
}, Math.max(1000, settings.deadlineMs - CLEANING_MS));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop.abort());

console.log(`testing ${settings.apiUrl} and ${settings.webUrl} as tenant ${settings.tenant}`);
const { failed, passed, report } = await runTests(stop.signal);
clearTimeout(timer);
const left = (await Promise.all(Object.values(tenantsOf(settings.tenant)).map(clean))).filter(Boolean);
console.log(left.length ? `LEFT    ${left.join('; ')}` : 'cleaned');
console.log(`${passed} passed, ${failed} failed`);
console.log('-----BEGIN JUNIT-----');
console.log(report.trim());
console.log('-----END JUNIT-----');
process.exitCode = failed === 0 && passed > 0 && left.length === 0 && !stop.signal.aborted ? 0 : 1;
