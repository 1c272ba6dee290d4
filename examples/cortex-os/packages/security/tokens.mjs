// HS256 JSON Web Tokens (RFC 7519) with a tenant claim. One algorithm, one audience: nothing is negotiable.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Problem } from '@cortex-os/kernel';
import { tenantName } from './input.mjs';

const AUDIENCE = 'cortex-api';
const HEADER = encode({ alg: 'HS256', typ: 'JWT' });
const LEEWAY_SECONDS = 5;

/** @typedef {{sub: string, tenant: string, aud: string, iat: number, exp: number}} Claims */

/**
 * @param {{sub: string, tenant: string}} who @param {string} key at least 32 characters
 * @param {{ttlSeconds?: number, now?: () => number}} [options] `now` in milliseconds
 */
export function signToken({ sub, tenant }, key, { ttlSeconds = 300, now = Date.now } = {}) {
  const iat = Math.floor(now() / 1000);
  const content = `${HEADER}.${encode({ sub, tenant, aud: AUDIENCE, iat, exp: iat + ttlSeconds })}`;
  return `${content}.${mac(content, key).toString('base64url')}`;
}

/**
 * @param {string} token @param {string} key @param {{now?: () => number}} [options]
 * @returns {Claims}
 * @throws {Problem} 401 with the reason; never with the token
 */
export function verifyToken(token, key, { now = Date.now } = {}) {
  const [header, payload, signature, ...rest] = token.split('.');
  if (!signature || rest.length) throw refused('it is not a token');
  if (decode(header)?.alg !== 'HS256') throw refused('its algorithm is not HS256');
  const expected = mac(`${header}.${payload}`, key);
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw refused('its signature is wrong');
  const claims = decode(payload);
  const seconds = now() / 1000;
  if (claims?.aud !== AUDIENCE) throw refused(`its audience is not ${AUDIENCE}`);
  if (!(claims.exp > seconds - LEEWAY_SECONDS)) throw refused('it has expired');
  if (!(claims.iat <= seconds + LEEWAY_SECONDS)) throw refused('it is from the future');
  return { ...claims, tenant: tenantName(claims.tenant) };
}

/** The claims of a request's bearer token. @throws {Problem} 401 */
export function bearerClaims(headers, key, options) {
  const [, token] = /^Bearer (\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (!token) throw refused('there is none: send Authorization: Bearer …');
  return verifyToken(token, key, options);
}

function refused(reason) {
  return new Problem(401, 'unauthorized', `the token is refused: ${reason}`);
}

function mac(content, key) {
  if (key.length < 32) throw new Error('the token key is shorter than 32 characters: use a longer one');
  return createHmac('sha256', key).update(content).digest();
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part) {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
