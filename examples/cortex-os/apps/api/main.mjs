// api: REST and signed webhooks in front of cortex-os, which it addresses over A2A.
import { a2aClient } from '@cortex-os/a2a-services';
import { lives, runService, secret, setting } from '@cortex-os/kernel';
import { apiRoutes } from './routes.mjs';

runService({
  name: 'api',
  port: 8080,
  setup() {
    const brainUrl = setting('CORTEX_OS_URL');
    return {
      routes: apiRoutes({ brain: a2aClient(brainUrl, 'cortex-os'), tokenKey: secret('TOKEN_KEY'), webhookSecret: secret('WEBHOOK_SECRET') }),
      dependencies: [{ name: 'cortex-os', check: lives(brainUrl, 'cortex-os') }],
    };
  },
});
