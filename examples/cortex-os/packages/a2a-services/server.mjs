// The other side: an agent card, and one endpoint that takes messages and answers about tasks.
// `tasks/list` and `tenants/delete` are extensions, named as such in the card.
import { Problem, rpcHandler } from '@cortex-os/kernel';

/**
 * @param {{name: string, description: string, release: string}} agent
 * @param {{send: Function, get: Function, list: Function, deleteTenant: Function}} brain
 * @returns {import('@cortex-os/kernel').Route[]}
 */
export function a2aRoutes({ name, description, release }, brain) {
  const card = {
    protocolVersion: '0.3.0', name, description, version: release, url: '/a2a', preferredTransport: 'JSONRPC',
    capabilities: { streaming: false, extensions: [{ uri: 'urn:cortex-os:a2a:tenants', description: 'tasks/list, tenants/delete' }] },
    defaultInputModes: ['text/plain'], defaultOutputModes: ['application/json'], skills: [],
  };
  return [
    ['GET', '/.well-known/agent-card.json', () => ({ json: card })],
    ['POST', '/a2a', rpcHandler({
      'message/send': ({ message }) => brain.send({ tenant: message?.contextId, text: textOf(message), key: message?.messageId }),
      'tasks/get': ({ id, metadata }) => brain.get(metadata?.tenant, id),
      'tasks/list': ({ metadata }) => brain.list(metadata?.tenant),
      'tenants/delete': ({ metadata }) => brain.deleteTenant(metadata?.tenant),
    })],
  ];
}

function textOf(message) {
  const texts = message?.parts?.filter(({ kind }) => kind === 'text').map(({ text }) => text);
  if (!texts?.length) throw new Problem(400, 'bad_message', 'the message has no text part');
  return texts.join('\n');
}
