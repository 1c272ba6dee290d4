// Configuration: plain values from the environment, secrets from files that the environment names.
import { readFileSync } from 'node:fs';

/**
 * @param {string} name @param {string} [fallback] @param {NodeJS.ProcessEnv} [env]
 * @returns {string} the value; an error names the variable when it is unset and has no fallback
 */
export function setting(name, fallback, env = process.env) {
  const value = env[name] || fallback;
  if (value === undefined) throw new Error(`${name} is not set: give it in the environment`);
  return value;
}

/**
 * The secret in the file that `<name>_FILE` names, without its last newline. The value appears in no message.
 * @param {string} name @param {NodeJS.ProcessEnv} [env] @returns {string}
 */
export function secret(name, env = process.env) {
  const path = setting(`${name}_FILE`, undefined, env);
  let value;
  try {
    value = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(`${name}_FILE: cannot read ${path} (${error.code}): mount the secret so that uid ${process.getuid?.()} can read it`);
  }
  if (!value) throw new Error(`${name}_FILE: ${path} is empty: write the secret into it`);
  return value;
}

/** @returns {string} the release this process belongs to, such as `r12` */
export function releaseFrom(env = process.env) {
  const release = setting('CORTEX_RELEASE', 'dev', env);
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(release) || release === 'live') {
    throw new Error(`CORTEX_RELEASE: found ${JSON.stringify(release)}, expected a name such as r12 (a-z, 0-9, -; not "live")`);
  }
  return release;
}

/** Who answers: shown by `/version`. `CORTEX_REVISION` is optional. */
export function identityFrom(service, env = process.env) {
  return { service, release: releaseFrom(env), revision: setting('CORTEX_REVISION', 'unknown', env) };
}
