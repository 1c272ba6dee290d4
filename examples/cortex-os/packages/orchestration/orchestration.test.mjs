import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem, Unreachable } from '@cortex-os/kernel';
import { planTask, runPlan } from './index.mjs';

const hands = (changes = {}) => ({
  recall: async () => ({ space: 'lexical', recalled: [{ text: 'before', outcome: '1' }] }),
  useTool: async ({ arguments: { numbers } }) => ({ sum: numbers.reduce((a, b) => a + b) }),
  ask: async (question) => ({ answer: question }),
  remember: async () => ({ stored: true }),
  ...changes,
});

test('a plan names the tool that helps with the text', () => {
  assert.deepEqual(planTask('sum of 2, 3.5 and -1').tool, { name: 'sum', arguments: { numbers: [2, 3.5, -1] } });
  assert.deepEqual(planTask('what is the time?').tool, { name: 'clock', arguments: {} });
  assert.deepEqual(planTask('hello there').tool, { name: 'word_count', arguments: { text: 'hello there' } });
});

test('a plan is done in its order, and the model hears of the tool and of earlier tasks', async () => {
  const { tool, memory, model } = await runPlan(planTask('add 1 and 2'), hands());
  assert.deepEqual(tool, { name: 'sum', output: { sum: 3 } });
  assert.equal(memory.stored, true);
  assert.match(model.answer, /^Earlier: before gave 1\.\nTask: add 1 and 2\nThe tool sum gave \{"sum":3\}\./);
});

test('without memory or a model a task is still done, and says who reported the lack', async () => {
  const { memory, model, tool } = await runPlan(planTask('add 1 and 2'), hands({
    recall: async () => { throw new Unreachable('qdrant', 'refused'); },
    remember: async () => { throw new Unreachable('qdrant', 'refused'); },
    ask: async () => { throw new Unreachable('model-gateway', 'refused'); },
  }));
  assert.equal(tool.output.sum, 3);
  assert.deepEqual(memory, { status: 'unavailable', reportedBy: 'agents', reason: 'qdrant does not answer: refused' });
  assert.deepEqual(model, { status: 'unavailable', reportedBy: 'agents', reason: 'model-gateway does not answer: refused' });
});

test('without its tool, or with a step that nobody knows, a task is not done', async () => {
  await assert.rejects(runPlan(planTask('add 1 and 2'), hands({ useTool: async () => { throw new Problem(422, 'tool_error', 'no such tool'); } })), /no such tool/);
  await assert.rejects(runPlan({ ...planTask('x'), steps: ['dance'] }, hands()), /step named dance/);
});
