// What a worker can do for a plan: recall, use a tool, ask a model, remember. `met` hears who answered on the way.
import { call, Problem } from '@cortex-os/kernel';

const ASK_MS = 8000;

/**
 * @param {{memories: any, registry: any, gatewayUrl: string, tenant: string, taskId: string, met: (hop: any) => void}} worker
 * @returns {import('@cortex-os/orchestration').Hands}
 */
export function createHands({ memories, registry, gatewayUrl, tenant, taskId, met }) {
  return {
    recall: (text) => memories.recall({ tenant, taskId, text }),

    async useTool({ name, arguments: args }) {
      const { tools } = await registry.listTools();
      if (!tools.some((tool) => tool.name === name)) throw new Problem(404, 'no_tool', `mcp-registry has no tool named ${name}`);
      const { output, hop } = await registry.callTool(name, args);
      met(hop);
      return output;
    },

    async ask(question) {
      const { ok, json, status, hop } = await call(new URL('/chat', gatewayUrl).href, {
        part: 'model-gateway', method: 'POST', timeoutMs: ASK_MS, json: { msgs: [{ role: 'user', content: question }], maxTokens: 64 },
      });
      met(hop);
      if (ok) return { answer: json.content, modelUsed: json.modelUsed };
      return { status: 'unavailable', reportedBy: hop?.service ?? 'agents', reason: json?.message ?? `the gateway answers ${status}` };
    },

    async remember(text, outcome) {
      await memories.remember({ tenant, taskId, text, outcome });
      return { stored: true };
    },
  };
}
