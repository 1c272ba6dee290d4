// What a value from outside may look like. Tenants become parts of bus subjects, so their letters are few.
import { Problem } from '@cortex-os/kernel';

const MAX_TEXT = 4000;

/** @returns {string} @throws {Problem} 400 */
export function tenantName(value) {
  return matching(value, /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'a tenant is 1 to 63 of a-z, 0-9 and -');
}

/** @returns {string} @throws {Problem} 400 */
export function taskId(value) {
  return matching(value, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'a task id is a UUID');
}

/** @returns {string|undefined} @throws {Problem} 400 */
export function idempotencyKey(value) {
  return value === undefined ? undefined : matching(value, /^[\w.:-]{1,128}$/, 'an idempotency key is 1 to 128 letters, digits and . : _ -');
}

/** The text without control characters but line ends and tabs. @returns {string} @throws {Problem} 400 */
export function taskText(value) {
  const text = typeof value === 'string' ? value.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '').trim() : '';
  if (!text || text.length > MAX_TEXT) throw new Problem(400, 'bad_input', `a task's text is 1 to ${MAX_TEXT} characters`);
  return text;
}

function matching(value, pattern, rule) {
  if (typeof value !== 'string' || !pattern.test(value)) throw new Problem(400, 'bad_input', rule);
  return value;
}
