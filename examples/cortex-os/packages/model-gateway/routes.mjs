// The gateway's own dialect. `/embed` and `/rank` are other names for `/embeddings` and `/rerank`.
import { Problem } from '@cortex-os/kernel';

const MAX_ITEMS = 64;

/** @param {ReturnType<import('./upstreams.mjs').createUpstreams>} upstreams @returns {import('@cortex-os/kernel').Route[]} */
export function gatewayRoutes(upstreams) {
  /** The answer of the first upstream that can; else 503, naming whom was tried and why in vain. */
  const serve = (capability, read) => async ({ json }) => {
    const { answer, tried } = await upstreams.first(capability, read(await json()));
    if (answer) return { json: answer };
    return { status: 503, json: {
      error: 'model_unavailable', reportedBy: 'model-gateway', tried,
      message: `no model answers ${capability}: ${tried.map(({ upstream, reason }) => `${upstream}: ${reason}`).join('; ') || 'set MLX_BASE_URL or OLLAMA_URL'}`,
    } };
  };

  const chat = serve('chat', ({ model, msgs, maxTokens = 128 }) => {
    const valid = listed(msgs) && msgs.every(({ role, content }) => typeof role === 'string' && typeof content === 'string');
    if (!valid) throw wrong('msgs', '[{role, content}, …]');
    return { model, msgs, maxTokens };
  });
  const embeddings = serve('embeddings', ({ model, texts, text = texts }) => {
    const list = typeof text === 'string' ? [text] : text;
    if (!strings(list)) throw wrong('texts', 'a list of strings');
    return { model, texts: list };
  });
  const rerank = serve('rerank', ({ model, query, docs, topK }) => {
    if (typeof query !== 'string' || !strings(docs)) throw wrong('query and docs', 'a string and a list of strings');
    return { model, query, docs, topK: topK ?? docs.length };
  });

  return [
    ['POST', '/chat', chat],
    ['POST', '/embeddings', embeddings],
    ['POST', '/embed', embeddings],
    ['POST', '/rerank', rerank],
    ['POST', '/rank', rerank],
  ];
}

function listed(value) {
  return Array.isArray(value) && value.length > 0 && value.length <= MAX_ITEMS;
}

function strings(value) {
  return listed(value) && value.every((item) => typeof item === 'string');
}

function wrong(what, expected) {
  return new Problem(400, 'bad_input', `${what}: expected ${expected}, at most ${MAX_ITEMS}`);
}
