// What the outside may ask. Every /v1 route acts for the tenant in the caller's token, and for no other.
import { Problem } from '@cortex-os/kernel';
import { bearerClaims, idempotencyKey, taskId, taskText, tenantName, verifyWebhook } from '@cortex-os/security';

const MAX_SLOW_MS = 5000;

/**
 * @param {{brain: ReturnType<import('@cortex-os/a2a-services').a2aClient>, tokenKey: string, webhookSecret: string}} parts
 * @returns {import('@cortex-os/kernel').Route[]}
 */
export function apiRoutes({ brain, tokenKey, webhookSecret }) {
  const who = ({ headers }) => bearerClaims(headers, tokenKey);

  return [
    ['POST', '/v1/tasks', async (request) => {
      const { tenant } = who(request);
      const { text } = fields(await request.json());
      const key = idempotencyKey(request.headers['idempotency-key']);
      const task = view(await brain.send({ tenant, text: taskText(text), ...(key && { key }) }));
      return { status: task.repeated ? 200 : 202, json: task, headers: { location: `/v1/tasks/${task.id}` } };
    }],
    ['GET', '/v1/tasks', async (request) => ({ json: { tasks: (await brain.list(who(request).tenant)).map(view) } })],
    ['GET', '/v1/tasks/:id', async (request) => ({ json: view(await brain.get(who(request).tenant, taskId(request.params.id))) })],

    ['DELETE', '/v1/tenants/:tenant', async (request) => {
      const tenant = tenantName(request.params.tenant);
      if (who(request).tenant !== tenant) throw new Problem(403, 'forbidden', 'the token is for another tenant');
      return { json: await brain.deleteTenant(tenant) };
    }],

    ['POST', '/webhooks/tasks', async ({ headers, body }) => {
      const delivered = await body();
      const key = verifyWebhook({ headers, body: delivered, secret: webhookSecret });
      const { tenant, text } = fields(parsed(delivered));
      const task = view(await brain.send({ tenant: tenantName(tenant), text: taskText(text), key }));
      if (task.repeated) throw new Problem(409, 'repeated', `this delivery was taken before, as task ${task.id}`);
      return { status: 202, json: task };
    }],

    // For trials of what happens to a slow request while releases change.
    ['GET', '/slow', async ({ query }) => {
      const ms = Math.min(MAX_SLOW_MS, Math.max(0, Number(query.get('ms')) || 0));
      await new Promise((resolve) => setTimeout(resolve, ms));
      return { json: { waited: ms } };
    }],
  ];
}

/** A task as REST callers read it, from the A2A task. */
function view({ id, contextId, status, history, artifacts, metadata: { plan, createdAt, relayedAt, cache, repeated } }) {
  return {
    id, tenant: contextId, text: history[0].parts[0].text, state: status.state, plan,
    result: artifacts[0]?.parts[0].data ?? null, createdAt, updatedAt: status.timestamp, relayedAt, cache, repeated,
  };
}

function fields(body) {
  return body && typeof body === 'object' ? body : {};
}

function parsed(body) {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new Problem(400, 'bad_json', 'the body is not JSON');
  }
}
