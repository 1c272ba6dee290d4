// What a tenant's earlier tasks taught: remembered when a task ends, recalled when the next begins.
const MAX_OUTCOME = 500;

/**
 * @typedef {{taskId: string, text: string, outcome: string, score: number}} Memory
 * @param {{index: Function, retrieve: Function, forget: Function}} rag from `createRag`
 */
export function createMemories(rag) {
  return {
    /** A task's outcome under the task's own id, so that doing a task twice makes one memory. @returns {Promise<{space: string}>} */
    remember: ({ tenant, taskId, text, outcome }) => (
      rag.index(tenant, { id: taskId, text, payload: { outcome: String(outcome).slice(0, MAX_OUTCOME) } })),

    /** @returns {Promise<{space: string, recalled: Memory[]}>} what other tasks of the tenant left, best first */
    async recall({ tenant, taskId, text }) {
      const { space, found } = await rag.retrieve(tenant, text);
      return { space, recalled: found.filter(({ id }) => id !== taskId).map(({ id, score, payload }) => (
        { taskId: id, text: payload.text, outcome: payload.outcome, score: Math.round(score * 1000) / 1000 })) };
    },

    /** @param {string} tenant */
    forget: (tenant) => rag.forget(tenant),

    reachable: () => rag.reachable(),
  };
}
