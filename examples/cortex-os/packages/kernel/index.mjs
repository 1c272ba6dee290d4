// What every service stands on. The Redis cache is apart (`@cortex-os/kernel/cache`): not every service has one.
export { identityFrom, releaseFrom, secret, setting } from './settings.mjs';
export { Problem, Unreachable, within } from './problems.mjs';
export { call, lives } from './http-client.mjs';
export { rpcCall, rpcHandler } from './json-rpc.mjs';
export { createHttpServer } from './http-server.mjs';
export { watchDependencies } from './dependencies.mjs';
export { scopeOf, watchLive } from './releases.mjs';
export { runService, startService } from './service.mjs';
