// How each kind of server is asked, and how its answer reads. `probe` is what shows that it is there; `names` reads from
// the probe's answer which model to name, per capability, when the caller named none.

/** `mlx_vlm.server` and `mlx_lm.server`; the latter has chat only, and lists nothing. */
export const mlx = {
  probe: '/health',
  names: ({ loaded_models: { text_generation: chat, embedding, reranker } = {} }) => ({
    chat: chat?.model, embeddings: embedding?.model, rerank: reranker?.model,
  }),
  async chat(ask, { model = 'default_model', msgs, maxTokens }) {
    const answer = await ask('POST', '/v1/chat/completions', { model, messages: msgs, max_tokens: maxTokens, stream: false });
    return { content: answer.choices?.[0]?.message?.content, modelUsed: answer.model ?? model };
  },
  async embeddings(ask, { model, texts }) {
    const answer = await ask('POST', '/v1/embeddings', { model, input: texts });
    const vectors = answer.data?.sort((a, b) => a.index - b.index).map(({ embedding }) => embedding);
    return { vectors, dimensions: vectors?.[0]?.length, modelUsed: answer.model ?? model };
  },
  async rerank(ask, { model, query, docs, topK }) {
    const answer = await ask('POST', '/v1/rerank', { model, query, documents: docs, top_n: topK });
    const rankedItems = answer.results?.map(({ index, relevance_score: score }) => ({ index, score, content: docs[index] }));
    return { rankedItems, modelUsed: answer.model ?? model };
  },
};

/** Ollama; it has no ranking. */
export const ollama = {
  probe: '/api/tags',
  names: ({ models = [] }) => ({ chat: models[0]?.name, embeddings: models[0]?.name }),
  async chat(ask, { model, msgs, maxTokens }) {
    const answer = await ask('POST', '/api/chat', { model, messages: msgs, stream: false, options: { num_predict: maxTokens } });
    return { content: answer.message?.content, modelUsed: model };
  },
  async embeddings(ask, { model, texts }) {
    const { embeddings: vectors } = await ask('POST', '/api/embed', { model, input: texts });
    return { vectors, dimensions: vectors?.[0]?.length, modelUsed: model };
  },
};
