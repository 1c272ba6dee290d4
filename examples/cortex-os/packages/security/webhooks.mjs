// Signed webhooks: an HMAC over the time and the body, and a window outside of which a delivery is too old.
// A second delivery inside the window is refused by whoever stores it: `verifyWebhook` gives the key to store.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Problem } from '@cortex-os/kernel';

const WINDOW_SECONDS = 300;

/** @param {string|Buffer} body @param {string} secret @param {number} timestamp seconds since 1970 */
export function signWebhook(body, secret, timestamp) {
  return { 'x-cortex-timestamp': String(timestamp), 'x-cortex-signature': `v1=${mac(body, secret, timestamp).toString('hex')}` };
}

/**
 * @param {{headers: Record<string, any>, body: Buffer, secret: string, now?: () => number}} delivery `now` in milliseconds
 * @returns {string} a key that the same delivery always has
 * @throws {Problem} 401
 */
export function verifyWebhook({ headers, body, secret, now = Date.now }) {
  const timestamp = headers['x-cortex-timestamp'] ?? '';
  const [, hex] = /^v1=([0-9a-f]{64})$/.exec(headers['x-cortex-signature'] ?? '') ?? [];
  if (!/^\d{1,12}$/.test(timestamp) || !hex) throw refused('its timestamp or signature header is missing or malformed');
  if (!timingSafeEqual(Buffer.from(hex, 'hex'), mac(body, secret, timestamp))) throw refused('its signature is wrong');
  if (Math.abs(now() / 1000 - Number(timestamp)) > WINDOW_SECONDS) throw refused(`it was signed more than ${WINDOW_SECONDS} s from now`);
  return `webhook-${hex}`;
}

function mac(body, secret, timestamp) {
  return createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest();
}

function refused(reason) {
  return new Problem(401, 'unauthorized', `the delivery is refused: ${reason}`);
}
