// Model Context Protocol over HTTP (JSON-RPC by POST, stateless): https://modelcontextprotocol.io/
export { mcpClient } from './client.mjs';
export { mcpRoutes } from './server.mjs';
