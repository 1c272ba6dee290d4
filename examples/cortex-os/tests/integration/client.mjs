// How a user talks to Cortex-OS. It shares no code with the services: what they agree on is tested, not assumed.
import { createHmac } from 'node:crypto';
import { readSettings } from './settings.mjs';

export const settings = readSettings();
const WAIT_MS = 10_000;

const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();

/** @param {{tenant?: string, key?: string, header?: object, claims?: object}} [changes] what a forger would change */
export function token({ tenant = settings.tenant, key = settings.tokenKey, header = {}, claims = {} } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const content = `${b64({ alg: 'HS256', typ: 'JWT', ...header })}.${b64({ sub: 'test-runner', tenant, aud: 'cortex-api', iat: now, exp: now + 300, ...claims })}`;
  return `${content}.${hmac(key, content).toString('base64url')}`;
}

/** Headers of a signed webhook delivery. */
export function signature(body, { secret = settings.webhookSecret, timestamp = Math.floor(Date.now() / 1000) } = {}) {
  return { 'x-cortex-timestamp': String(timestamp), 'x-cortex-signature': `v1=${hmac(secret, `${timestamp}.${body}`).toString('hex')}` };
}

/**
 * One request to the api, in the name of `tenant`.
 * @returns {Promise<{status: number, headers: Headers, json: any}>}
 */
export async function api(method, path, { body, tenant = settings.tenant, bearer = token({ tenant }), headers = {}, waitMs = WAIT_MS } = {}) {
  const answer = await fetch(settings.apiUrl + path, {
    method, signal: AbortSignal.timeout(waitMs),
    headers: { 'content-type': 'application/json', ...(bearer && { authorization: `Bearer ${bearer}` }), ...headers },
    body: typeof body === 'object' ? JSON.stringify(body) : body,
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, json: text.startsWith('{') ? JSON.parse(text) : { text } };
}

/** The web page as `bearer` sees it; nobody when it is undefined. */
export async function web(path, { bearer, headers = {} } = {}) {
  const answer = await fetch(settings.webUrl + path, {
    signal: AbortSignal.timeout(WAIT_MS), headers: { ...(bearer && { authorization: `Bearer ${bearer}` }), ...headers },
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

/** Hands a task over. @returns {Promise<{task: any, headers: Headers}>} @throws when it is not taken */
export async function handOver(text, options = {}) {
  const { status, json, headers } = await api('POST', '/v1/tasks', { body: { text }, ...options });
  if (status !== 202) throw new Error(`the api did not take the task: ${status} ${JSON.stringify(json)}`);
  return { task: json, headers };
}

/**
 * Reads a task until `good` says so, or ten seconds have passed: what was read last is returned either way, so that the
 * test can say what was wrong with it.
 */
export async function readUntil(id, good, options) {
  for (const deadline = Date.now() + WAIT_MS; ;) {
    const { status, json } = await api('GET', `/v1/tasks/${id}`, options);
    if (status !== 200) throw new Error(`the api does not give task ${id}: ${status} ${JSON.stringify(json)}`);
    if (good(json) || Date.now() > deadline) return json;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export const ended = ({ state }) => state === 'completed' || state === 'failed';

/** Hands a task over and waits for its end. */
export async function done(text, options) {
  const { task } = await handOver(text, options);
  return readUntil(task.id, ended, options);
}
