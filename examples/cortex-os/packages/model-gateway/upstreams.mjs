// Which servers there are, which of them answer, and which can do what. One that is down is asked again after a few
// seconds, not by every request. One that turns out to be a model-gateway, perhaps this very one, is refused.
import { call, Problem } from '@cortex-os/kernel';
import { mlx, ollama } from './dialects.mjs';

const REMEMBER_MS = 3000;
/** Milliseconds that an answer may take. */
const BUDGETS = { chat: 15_000, embeddings: 5000, rerank: 8000 };

/** @param {{mlxUrl?: string, ollamaUrl?: string, log: import('@cortex-os/observability').Logger}} options */
export function createUpstreams({ mlxUrl, ollamaUrl, log }) {
  const list = [
    ...(mlxUrl ? [upstream('mlx', mlxUrl, mlx, log)] : []),
    ...(ollamaUrl ? [upstream('ollama', ollamaUrl, ollama, log)] : []),
  ];
  return {
    list,

    /** @returns {string[]} what somebody could do when last asked */
    capabilities: () => Object.keys(BUDGETS).filter((name) => list.some((one) => one.up && one.dialect[name])),

    /**
     * @param {'chat'|'embeddings'|'rerank'} capability @param {object} request
     * @returns {Promise<{answer?: object, tried: Array<{upstream: string, reason: string}>}>}
     * @throws {Problem} 422 when a model refuses the request itself
     */
    async first(capability, request) {
      const tried = [];
      for (const one of list) {
        try {
          if (!one.dialect[capability]) throw new Problem(501, 'cannot', `it has no ${capability}`);
          await one.check();
          const named = { ...request, model: request.model ?? one.names[capability] };
          const answer = await one.dialect[capability](one.asker(BUDGETS[capability]), named);
          if (Object.values(answer)[0] === undefined) throw new Problem(502, 'bad_answer', `its answer to ${capability} has another shape`);
          return { answer, tried };
        } catch (error) {
          if (!(error instanceof Problem) || error.status === 422) throw error;
          tried.push({ upstream: one.name, reason: error.message });
        }
      }
      return { tried };
    },
  };
}

function upstream(name, url, dialect, log) {
  let asked = -Infinity;
  let last = Promise.resolve();

  const asker = (timeoutMs) => async (method, path, json) => {
    const answer = await call(new URL(path, url).href, { part: name, method, json, timeoutMs });
    if (answer.hop?.service === 'model-gateway') throw new Problem(508, 'loop', `${url} is a model-gateway: point it at the model server`);
    if (answer.ok && answer.json) return answer.json;
    const reason = `${name} answers ${answer.status} to ${path}: ${answer.text.slice(0, 200)}`;
    if (answer.status === 400 || answer.status === 422) throw new Problem(json?.model ? 422 : 501, 'model_refuses', reason);
    throw new Problem(502, 'upstream', reason);
  };

  const self = {
    name, dialect, asker, up: false,
    /** Kept when the server lists a model no more: it unloads one to make room, and loads it again when it is named. */
    names: {},

    /** Throws why it cannot be used; asks at most every few seconds. */
    check() {
      if (performance.now() - asked > REMEMBER_MS) {
        asked = performance.now();
        last = asker(1000)('GET', dialect.probe).then(learn, (error) => { change(false, error); throw error; });
        last.catch(() => {}); // it is told to whoever asks; nobody may
      }
      return last;
    },
  };

  function learn(answer) {
    for (const [capability, model] of Object.entries(dialect.names(answer))) if (model) self.names[capability] = model;
    change(true);
  }

  function change(up, error) {
    if (self.up !== up) log.info(up ? `${name} answers` : `${name} does not answer`, { error });
    self.up = up;
  }
  return self;
}
