// How each kind of server is asked, and how its answer reads. `models` tells which model to name when nobody did.

/** `mlx_vlm.server` and `mlx_lm.server`; the latter has chat only. */
export const mlx = {
  probe: '/health',
  models: async (ask) => (await ask('GET', '/health'))?.loaded_model ?? 'default_model',
  chat: async (ask, { model, msgs, maxTokens }, fallback) => {
    const named = model ?? await fallback();
    const answer = await ask('POST', '/v1/chat/completions', { model: named, messages: msgs, max_tokens: maxTokens, stream: false });
    return { content: answer?.choices?.[0]?.message?.content, modelUsed: answer?.model ?? named };
  },
  embeddings: async (ask, { model, texts }) => {
    const answer = await ask('POST', '/v1/embeddings', { ...(model && { model }), input: texts });
    const vectors = answer?.data?.sort((a, b) => a.index - b.index).map(({ embedding }) => embedding);
    return { vectors, dimensions: vectors?.[0]?.length, modelUsed: answer?.model ?? model };
  },
  rerank: async (ask, { model, query, docs, topK }) => {
    const answer = await ask('POST', '/v1/rerank', { ...(model && { model }), query, documents: docs, top_n: topK });
    return {
      rankedItems: answer?.results?.map(({ index, relevance_score: score }) => ({ index, score, content: docs[index] })),
      modelUsed: answer?.model ?? model,
    };
  },
};

/** Ollama; it has no ranking. */
export const ollama = {
  probe: '/api/version',
  models: async (ask) => (await ask('GET', '/api/tags'))?.models?.[0]?.name,
  chat: async (ask, { model, msgs, maxTokens }, fallback) => {
    const named = model ?? await fallback();
    const answer = await ask('POST', '/api/chat', { model: named, messages: msgs, stream: false, options: { num_predict: maxTokens } });
    return { content: answer?.message?.content, modelUsed: named };
  },
  embeddings: async (ask, { model, texts }, fallback) => {
    const named = model ?? await fallback();
    const answer = await ask('POST', '/api/embed', { model: named, input: texts });
    return { vectors: answer?.embeddings, dimensions: answer?.embeddings?.[0]?.length, modelUsed: named };
  },
};
