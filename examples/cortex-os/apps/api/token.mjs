// A token for a person at the keyboard: node apps/api/token.mjs TENANT [SECONDS]; reads TOKEN_KEY_FILE.
import { secret } from '@cortex-os/kernel';
import { signToken, tenantName } from '@cortex-os/security';

try {
  const [tenant = 'demo', seconds = '3600'] = process.argv.slice(2);
  console.log(signToken({ sub: 'person', tenant: tenantName(tenant) }, secret('TOKEN_KEY'), { ttlSeconds: Number(seconds) }));
} catch (error) {
  console.error(`token: ${error.message}`);
  process.exitCode = 1;
}
