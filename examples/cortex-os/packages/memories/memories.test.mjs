import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemories } from './index.mjs';

test('a task remembers under its own id, and recalls what others left but not itself', async () => {
  const kept = new Map();
  const memories = createMemories({
    index: async (tenant, document) => { kept.set(document.id, { tenant, ...document }); return { space: 'lexical' }; },
    retrieve: async (tenant) => ({ space: 'lexical', found: [...kept.values()].filter((one) => one.tenant === tenant).map(({ id, text, payload }) => ({ id, score: 0.98765, payload: { ...payload, text } })) }),
    forget: async (tenant) => { for (const [id, one] of kept) if (one.tenant === tenant) kept.delete(id); },
  });
  for (const taskId of ['1', '1', '2']) await memories.remember({ tenant: 'acme', taskId, text: `task ${taskId}`, outcome: 'y'.repeat(600) });
  assert.equal(kept.size, 2);
  const { recalled } = await memories.recall({ tenant: 'acme', taskId: '2', text: 'task' });
  assert.deepEqual(recalled, [{ taskId: '1', text: 'task 1', outcome: 'y'.repeat(500), score: 0.988 }]);
  await memories.forget('acme');
  assert.equal(kept.size, 0);
});
