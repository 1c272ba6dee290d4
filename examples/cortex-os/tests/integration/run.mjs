// The test-runner: runs the tests, says how it goes, deletes its tenants whatever happened, prints the JUnit report
// between two marker lines, and exits 0 only when every test passed and nothing of it is left.
import { fileURLToPath } from 'node:url';
import { run } from 'node:test';
import { junitReport } from './junit.mjs';
import { CLEANING_MS, readSettings, tenantsOf } from './settings.mjs';

const TESTS = fileURLToPath(new URL('./system.spec.mjs', import.meta.url));

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

/** @returns {Promise<import('./junit.mjs').Outcome[]>} told as they come, in the order in which the tests are written */
async function runTests(signal) {
  const outcomes = [];
  const events = run({ files: [TESTS], signal });
  const hear = ({ name, details: { type, duration_ms, error } }) => {
    if (type === 'suite') return; // it fails when one of its tests does, and says no more than they
    const whole = name === TESTS; // the file itself is heard of only when it ended badly
    const failure = error && (whole && signal.aborted ? 'ended early, by the deadline or a signal' : oneLine(String(error.cause?.message ?? error.message)));
    const outcome = { name: whole ? 'the tests run to their end' : name, seconds: duration_ms / 1000, failure };
    outcomes.push(outcome);
    console.log(failure ? `FAILED  ${outcome.name}: ${failure}` : `ok      ${name} (${Math.round(duration_ms)} ms)`);
  };
  events.on('test:pass', hear);
  events.on('test:fail', hear);
  for await (const event of events) void event; // the stream must be read to go on
  return outcomes;
}

/** Node's assertions explain themselves over many lines: the first says what, the rest show the difference. */
function oneLine(message) {
  return message.split('\n').map((line) => line.trim()).filter(Boolean).join(' ').slice(0, 300);
}

/** @returns {Promise<string|undefined>} what is left of the tenant; undefined when nothing is */
async function clean(tenant) {
  for (const deadline = Date.now() + CLEANING_MS; ;) {
    const waitMs = Math.max(100, deadline - Date.now());
    const { status, json } = await api('DELETE', `/v1/tenants/${tenant}`, { tenant, waitMs })
      .catch((error) => ({ status: 0, json: { message: error.cause?.message ?? error.message } }));
    if (status === 200) return json.memories === 'deleted' ? undefined : `${tenant}: memories ${json.memories}`;
    if (Date.now() > deadline) return `${tenant}: ${json.message}`;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const stop = new AbortController();
// Each test ends itself when `testsMs` have passed; this is for a test process that does not even do that.
const timer = setTimeout(() => stop.abort(), settings.testsMs + 1000);
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop.abort());

console.log(`testing ${settings.apiUrl} and ${settings.webUrl} as tenant ${settings.tenant}`);
const outcomes = await runTests(stop.signal);
clearTimeout(timer);
const left = (await Promise.all(Object.values(tenantsOf(settings.tenant)).map(clean))).filter(Boolean);
console.log(left.length ? `LEFT    ${left.join('; ')}` : 'cleaned');
const failed = outcomes.filter(({ failure }) => failure !== undefined).length;
console.log(`${outcomes.length - failed} passed, ${failed} failed`);
console.log(`-----BEGIN JUNIT-----\n${junitReport('Cortex-OS', outcomes)}\n-----END JUNIT-----`);
process.exitCode = failed === 0 && outcomes.length > 0 && left.length === 0 && !stop.signal.aborted ? 0 : 1;
