import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { bearerClaims, idempotencyKey, signToken, signWebhook, taskId, taskText, tenantName, verifyToken, verifyWebhook } from './index.mjs';

const KEY = 'k'.repeat(32);
const at = (seconds) => ({ now: () => seconds * 1000 });

test('a token says who asks for which tenant', () => {
  const token = signToken({ sub: 'ada', tenant: 'acme' }, KEY, at(1000));
  const { sub, tenant, exp } = bearerClaims({ authorization: `Bearer ${token}` }, KEY, at(1001));
  assert.deepEqual({ sub, tenant, exp }, { sub: 'ada', tenant: 'acme', exp: 1300 });
});

test('a token is refused when missing, forged, altered, unsigned, expired, early or for somebody else', () => {
  const token = signToken({ sub: 'ada', tenant: 'acme' }, KEY, at(1000));
  const [header, , signature] = token.split('.');
  const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub: 'ada', tenant: 'acme', aud: 'cortex-api', iat: 1000, exp: 1300 };
  const signed = (value) => { const content = `${header}.${b64(value)}`; return `${content}.${createHmac('sha256', KEY).update(content).digest('base64url')}`; };
  assert.equal(verifyToken(signed(claims), KEY, at(1001)).sub, 'ada');
  const refused = (value, why, when = 1001) => assert.throws(() => verifyToken(value, KEY, at(when)), (error) => error.status === 401 && why.test(error.message) && !error.message.includes(token));
  refused('rubbish', /not a token/);
  refused(signToken(claims, 'x'.repeat(32), at(1000)), /signature/);
  refused(`${header}.${b64({ ...claims, tenant: 'other' })}.${signature}`, /signature/);
  refused(`${b64({ alg: 'none' })}.${b64(claims)}.`, /not a token/);
  refused(`${b64({ alg: 'none' })}.${b64(claims)}.${signature}`, /algorithm/);
  refused(token, /expired/, 1306);
  refused(token, /future/, 900);
  refused(signed({ ...claims, aud: 'other' }), /audience/);
  assert.throws(() => bearerClaims({}, KEY), /there is none/);
});

test('a webhook is accepted only as signed, and only inside its window', () => {
  const body = Buffer.from('{"text":"hello"}');
  const headers = signWebhook(body, 'secret', 1000);
  const verify = (change = {}, seconds = 1000) => verifyWebhook({ headers, body, secret: 'secret', ...at(seconds), ...change });
  assert.equal(verify(), verify({}, 1299));
  assert.throws(() => verify({ body: Buffer.from('{"text":"hullo"}') }), /signature is wrong/);
  assert.throws(() => verify({ secret: 'other' }), /signature is wrong/);
  assert.throws(() => verify({ headers: { ...headers, 'x-cortex-timestamp': '1001' } }), /signature is wrong/);
  assert.throws(() => verify({ headers: {} }), /missing or malformed/);
  assert.throws(() => verify({}, 1301), /more than 300 s/);
});

test('input outside the rules is refused as the caller\'s mistake', () => {
  assert.equal(tenantName('test-r12'), 'test-r12');
  assert.equal(taskText(' two\u0007 words\n'), 'two words');
  assert.equal(idempotencyKey(undefined), undefined);
  for (const [check, bad] of [[tenantName, 'a.b'], [tenantName, 'A'], [tenantName, '>'], [tenantName, '-a'], [tenantName, undefined],
    [taskId, '../../etc'], [taskText, '  '], [taskText, 'x'.repeat(4001)], [taskText, {}], [idempotencyKey, 'a b']]) {
    assert.throws(() => check(bad), (error) => error.status === 400, `${check.name} took ${bad}`);
  }
});
