// Who may ask, and what may be asked: tokens, webhook signatures, validation of input. It reads no secret itself.
export { bearerClaims, signToken, verifyToken } from './tokens.mjs';
export { signWebhook, verifyWebhook } from './webhooks.mjs';
export { idempotencyKey, taskId, taskText, tenantName } from './input.mjs';
