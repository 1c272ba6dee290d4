// The pages and the forms behind them. A visitor is whoever brings a valid token, in a cookie or as a bearer; without
// one there are the tools and a place to sign in.
import { readFileSync } from 'node:fs';
import { Problem } from '@cortex-os/kernel';
import { bearerClaims, verifyToken } from '@cortex-os/security';
import { page } from './page.mjs';

const asset = (name, type) => {
  const text = readFileSync(new URL(`./public/${name}`, import.meta.url), 'utf8');
  return ['GET', `/${name}`, () => ({ text, type, headers: { 'cache-control': 'public, max-age=300' } })];
};
const HEADERS = {
  'content-security-policy': "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};
const back = (headers = {}) => ({ status: 303, headers: { location: '/', ...headers } });

/**
 * @param {{api: any, registry: any, tokenKey: string, config: {release: string, apiUrl: string|null}}} parts
 * @returns {import('@cortex-os/kernel').Route[]}
 */
export function webRoutes({ api, registry, tokenKey, config }) {
  /** @returns the visitor's claims; undefined when there is no token or an expired one in the cookie */
  function visitorOf({ headers }) {
    if (headers.authorization) return bearerClaims(headers, tokenKey);
    const [, token] = /(?:^|;\s*)cortex_session=([^;]+)/.exec(headers.cookie ?? '') ?? [];
    try {
      return token && verifyToken(token, tokenKey);
    } catch {
      return undefined;
    }
  }

  return [
    ['GET', '/', async (request) => {
      const visitor = visitorOf(request);
      const [tasks, tools] = await Promise.all([visitor ? orReason(api.tasks(visitor)) : {}, orReason(registry.listTools())]);
      return { text: page({ config, visitor, tasks, tools }), type: 'text/html; charset=utf-8', headers: HEADERS };
    }],

    ['POST', '/session', async (request) => {
      const token = (await form(request)).get('token')?.trim() ?? '';
      verifyToken(token, tokenKey);
      const secure = request.headers['x-forwarded-proto'] === 'https' ? '; Secure' : '';
      return back({ 'set-cookie': `cortex_session=${token}; HttpOnly; SameSite=Strict; Path=/${secure}` });
    }],
    ['POST', '/session/end', async (request) => {
      await form(request);
      return back({ 'set-cookie': 'cortex_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0' });
    }],

    ['POST', '/tasks', async (request) => {
      const visitor = visitorOf(request);
      if (!visitor) throw new Problem(401, 'unauthorized', 'sign in first');
      await api.add(visitor, (await form(request)).get('text'));
      return back();
    }],

    asset('style.css', 'text/css; charset=utf-8'),
    asset('page.js', 'text/javascript; charset=utf-8'),
  ];
}

/** A form of our own page; what another site makes a browser send is refused. */
async function form({ headers, body }) {
  const from = headers['sec-fetch-site'];
  if (from && from !== 'same-origin' && from !== 'none') throw new Problem(403, 'forbidden', 'this form was sent from another site');
  return new URLSearchParams((await body()).toString('utf8'));
}

/** A part of the page that cannot be had leaves the rest of it standing. */
async function orReason(work) {
  try {
    return { value: await work };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { reason: error.message };
  }
}
