// The connection to Postgres: address from DATABASE_URL, password from its file, never both in one place.
import { secret, setting } from '@cortex-os/kernel';

/** @returns {import('pg').ClientConfig} */
export function databaseConfig(env = process.env) {
  const url = new URL(setting('DATABASE_URL', undefined, env));
  return {
    host: url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    database: decodeURIComponent(url.pathname.slice(1)),
    password: secret('DATABASE_PASSWORD', env),
    connectionTimeoutMillis: 2000,
    keepAlive: true,
  };
}
