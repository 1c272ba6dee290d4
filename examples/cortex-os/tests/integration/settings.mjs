// What the run is told by its environment.
import { readFileSync } from 'node:fs';

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: the test-runner needs API_URL, WEB_URL, TENANT, TOKEN_KEY_FILE and WEBHOOK_SECRET_FILE`);
  return value;
}

const secret = (name) => readFileSync(required(`${name}_FILE`), 'utf8').replace(/\r?\n$/, '');

/** What is kept of the deadline for deleting the tenants. */
export const CLEANING_MS = 10_000;

/** @returns {{apiUrl: string, webUrl: string, tenant: string, tokenKey: string, webhookSecret: string, testsMs: number}}
 *   `testsMs`: how long the tests may take */
export function readSettings() {
  const tenant = required('TENANT');
  if (!/^test-[a-z0-9-]{0,50}[a-z0-9]$/.test(tenant)) throw new Error(`TENANT: found ${JSON.stringify(tenant)}, expected test- and up to 51 of a-z, 0-9, -: it is deleted at the end`);
  return {
    apiUrl: required('API_URL'), webUrl: required('WEB_URL'), tenant,
    tokenKey: secret('TOKEN_KEY'), webhookSecret: secret('WEBHOOK_SECRET'),
    testsMs: Math.max(1000, 1000 * Number(process.env.DEADLINE_SECONDS || 60) - CLEANING_MS - 1000),
  };
}

/** The tenants that a run uses; all are deleted at its end. */
export const tenantsOf = (tenant) => ({ main: tenant, forgotten: `${tenant}-forgotten` });
