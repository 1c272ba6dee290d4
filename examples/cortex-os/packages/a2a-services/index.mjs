// Agent-to-agent (A2A): the shapes that services hand to each other, and their JSON-RPC over HTTP.
// Over the bus the same shapes travel as orders (to agents) and reports (back).
export { a2aClient } from './client.mjs';
export { a2aRoutes } from './server.mjs';
export { asTask, order, readOrder, readReport, report } from './shapes.mjs';
