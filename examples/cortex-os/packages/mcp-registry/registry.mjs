// The list of tools, and calling one of them.
import { Problem } from '@cortex-os/kernel';
import { tools } from './tools.mjs';

const CACHE_SECONDS = 60;

/** @param {{cache: any, release: string}} options */
export function createRegistry({ cache, release }) {
  const described = async () => tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }));
  return {
    async list() {
      const { value, cache: how } = await cache.through(`tools:${release}`, CACHE_SECONDS, described);
      return { tools: value, cache: how };
    },

    /** @throws {Problem} 404 for an unknown tool, 400 for arguments that it does not take */
    call(name, args) {
      const tool = tools.find((one) => one.name === name);
      if (!tool) throw new Problem(404, 'no_tool', `no tool named ${JSON.stringify(name)}: there are ${tools.map((one) => one.name).join(', ')}`);
      return tool.run(args);
    },
  };
}
