// Doing a plan. Without its tool a task cannot be done; without memory or a model it can, and the result says so.
import { Problem } from '@cortex-os/kernel';

/**
 * @typedef {{recall: (text: string) => Promise<object>, useTool: (tool: {name: string, arguments: object}) => Promise<any>,
 *   ask: (question: string) => Promise<object>, remember: (text: string, outcome: string) => Promise<object>}} Hands
 * @param {import('./plan.mjs').Plan} plan @param {Hands} hands
 * @returns {Promise<{tool: object, memory: object, model: object}>}
 * @throws {Problem} the tool's
 */
export async function runPlan({ goal, tool, steps }, hands) {
  const result = { tool: {}, memory: {}, model: {} };
  const does = {
    recall: async () => { result.memory = await orSay(() => hands.recall(goal)); },
    tool: async () => { result.tool = { name: tool.name, output: await hands.useTool(tool) }; },
    ask: async () => { result.model = await orSay(() => hands.ask(question(goal, result))); },
    remember: async () => { result.memory = { ...result.memory, ...await orSay(() => hands.remember(goal, JSON.stringify(result.tool.output))) }; },
  };
  for (const step of steps) {
    if (!Object.hasOwn(does, step)) throw new Problem(400, 'bad_plan', `the plan has a step named ${step}, which nobody knows`);
    await does[step]();
  }
  return result;
}

/** The outcome, or the fact that the part is unavailable, reported by who noticed. */
async function orSay(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { status: 'unavailable', reportedBy: error.part ? 'agents' : error.code, reason: error.message };
  }
}

function question(goal, { tool, memory }) {
  const earlier = (memory.recalled ?? []).slice(0, 3).map(({ text, outcome }) => `Earlier: ${text} gave ${outcome}.`);
  return [...earlier, `Task: ${goal}`, `The tool ${tool.name} gave ${JSON.stringify(tool.output)}.`, 'Answer in one sentence.'].join('\n');
}
