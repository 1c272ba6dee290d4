// What a release must do before it is live. Tests run side by side; several look at the same task from different sides,
// and each is named after the part that it proves: README.md says which test fails when which part is gone.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { api, done, handOver, readUntil, settings, signature, token, web } from './client.mjs';
import { tenantsOf } from './settings.mjs';

const traceId = randomBytes(16).toString('hex');
const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-01`;
const { forgotten } = tenantsOf(settings.tenant);

/** One task that several tests look at: made by whoever asks first. */
let first;
const firstTask = () => (first ??= done('sum of 19, 23 and 0.5', { headers: { traceparent } }));

/** A test that ends by itself when the run's time is over. */
const test = (name, work) => it(name, { timeout: settings.testsMs }, work);

function assertCompleted({ state, result }) {
  assert.equal(state, 'completed', result?.error ?? `the task is ${state}`);
}

describe('Cortex-OS', { concurrency: true }, () => {
  test('Postgres keeps a task', async () => {
    const text = `count these words ${randomUUID()}`;
    const { task } = await handOver(text);
    assert.equal((await api('GET', `/v1/tasks/${task.id}`)).json.text, text);
    const { json } = await api('GET', '/v1/tasks');
    assert.ok(json.tasks.some(({ id }) => id === task.id), 'the list has the task');
  });

  test('Postgres keeps one task for one idempotency key', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const { task } = await handOver('do this once', { headers });
    const again = await api('POST', '/v1/tasks', { body: { text: 'do this once' }, headers });
    assert.deepEqual([again.status, again.json.id], [200, task.id]);
  });

  test('NATS carries a task from the outbox', async () => {
    const { task } = await handOver('what is the time?');
    const relayed = await readUntil(task.id, ({ relayedAt }) => relayedAt);
    assert.ok(relayed.relayedAt, 'the outbox was relayed to the bus');
  });

  test('agents do a task and report its end', async () => {
    const task = await firstTask();
    assert.match(task.state, /^(completed|failed)$/, `the task is ${task.state}`);
    assert.ok(task.result.hops.some(({ service }) => service === 'agents'), 'an agent did it');
  });

  test('mcp-registry gives the tool that solves a task', async () => {
    const task = await firstTask();
    assertCompleted(task);
    assert.deepEqual(task.result.tool, { name: 'sum', output: { sum: 42.5 } });
  });

  test('model-gateway answers, or says itself that no model does', async () => {
    const task = await firstTask();
    assertCompleted(task);
    const { result } = task;
    if (result.model.status) assert.deepEqual([result.model.status, result.model.reportedBy], ['unavailable', 'model-gateway'], result.model.reason);
    else assert.equal(typeof result.model.answer, 'string');
  });

  test('Qdrant recalls what an earlier task taught', async () => {
    const earlier = await firstTask();
    const later = await done('sum of 19, 23 and 1.5');
    assertCompleted(later);
    const { result } = later;
    assert.equal(result.memory.status, undefined, result.memory.reason);
    const memory = result.memory.recalled.find(({ taskId }) => taskId === earlier.id);
    assert.equal(memory?.outcome, '{"sum":42.5}');
  });

  test('Redis serves the second read of a finished task', async () => {
    const { id, state, result } = await firstTask();
    assert.ok(result, `the task is ${state}`);
    const reads = [];
    for (let i = 0; i < 2; i += 1) reads.push((await api('GET', `/v1/tasks/${id}`)).json.cache);
    assert.equal(reads[1], 'hit', `the reads were: ${reads}`);
  });

  test('one trace id crosses every hop', async () => {
    const task = await firstTask();
    assert.ok(task.result, `the task is ${task.state}`);
    const seen = new Map(task.result.hops.map((hop) => [hop.as ?? hop.service, hop.traceId]));
    for (const hop of ['cortex-os', 'agents', 'mcp-registry', 'model-gateway', 'listener']) assert.equal(seen.get(hop), traceId, hop);
    const { headers } = await api('GET', '/v1/tasks', { headers: { traceparent } });
    assert.equal(headers.get('traceparent').split('-')[1], traceId, 'api');
  });

  test('a signed webhook hands a task over, once', async () => {
    const body = JSON.stringify({ tenant: settings.tenant, text: `webhook ${randomUUID()}` });
    const headers = signature(body);
    const deliver = () => api('POST', '/webhooks/tasks', { body, bearer: '', headers });
    const taken = await deliver();
    assert.equal(taken.status, 202, JSON.stringify(taken.json));
    assert.equal((await api('GET', `/v1/tasks/${taken.json.id}`)).status, 200);
    assert.equal((await deliver()).status, 409, 'the same delivery again');
  });

  test('the web page shows the tenant\'s task and the registry\'s tools', async () => {
    const { id } = await firstTask();
    const { status, text, headers } = await web('/', { bearer: token(), headers: { traceparent } });
    assert.equal(status, 200);
    assert.ok(text.includes(`data-task="${id}"`), 'the page shows the task');
    for (const tool of ['clock', 'word_count', 'sum']) assert.ok(text.includes(`data-tool="${tool}"`), `the page shows the tool ${tool}`);
    assert.equal(headers.get('traceparent').split('-')[1], traceId);
  });

  test('who may not is refused', async () => {
    const { task } = await handOver('a secret of this tenant');
    const status = async (...request) => (await api(...request)).status;
    const read = (bearer) => status('GET', `/v1/tasks/${task.id}`, { bearer });
    assert.equal(await read(''), 401, 'no token');
    assert.equal(await read(token({ key: 'x'.repeat(32) })), 401, 'a forged token');
    assert.equal(await read(token({ header: { alg: 'none' } })), 401, 'another algorithm');
    assert.equal(await read(token({ claims: { exp: 1 } })), 401, 'an expired token');
    assert.equal(await read(token({ tenant: forgotten })), 404, 'another tenant\'s token');
    const stranger = `other-${randomUUID()}`;
    assert.equal(await status('DELETE', `/v1/tenants/${stranger}`), 403, 'deleting another tenant');
    assert.equal(await status('DELETE', `/v1/tenants/${stranger}`, { tenant: stranger }), 403, 'deleting a tenant that is no test');
    assert.equal(await status('POST', '/v1/tasks', { body: { text: ' ' } }), 400, 'an empty text');
    assert.equal(await status('POST', '/v1/tasks', { body: '{' }), 400, 'no JSON');
    const body = JSON.stringify({ tenant: settings.tenant, text: 'not taken' });
    const deliver = (headers) => status('POST', '/webhooks/tasks', { body, bearer: '', headers });
    assert.equal(await deliver({}), 401, 'an unsigned webhook');
    assert.equal(await deliver(signature(body, { secret: 'other' })), 401, 'a webhook signed with another secret');
    assert.equal(await deliver(signature(body, { timestamp: 1000 })), 401, 'a webhook from long ago');
    assert.doesNotMatch((await web('/')).text, /data-task/, 'a page for nobody');
  });

  test('api and web belong to one release', async () => {
    const versions = await Promise.all([api('GET', '/version'), web('/version')]);
    const [ours, theirs] = [versions[0].json, JSON.parse(versions[1].text)];
    assert.deepEqual([ours.service, theirs.service], ['api', 'cortex-web']);
    assert.equal(ours.release, theirs.release);
  });

  test('a deleted tenant is forgotten', async () => {
    const asForgotten = { tenant: forgotten };
    const { id } = await done('sum of 7 and 8', asForgotten);
    const { status, json } = await api('DELETE', `/v1/tenants/${forgotten}`, asForgotten);
    assert.deepEqual([status, json], [200, { tasks: 1, outbox: 0, memories: 'deleted' }]);
    assert.equal((await api('GET', `/v1/tasks/${id}`, asForgotten)).status, 404);
    const later = await done('sum of 7 and 9', asForgotten);
    assertCompleted(later);
    assert.deepEqual(later.result.memory.recalled, []);
  });
});
