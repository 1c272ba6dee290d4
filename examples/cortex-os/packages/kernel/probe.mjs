// The health check of a container whose image has neither curl nor wget.
// Usage: node probe.mjs /ready; exit 0 when 127.0.0.1:$PORT answers 2xx within three seconds, else 1.
const url = `http://127.0.0.1:${process.env.PORT}${process.argv[2] ?? '/ready'}`;
try {
  const answer = await fetch(url, { signal: AbortSignal.timeout(3000) });
  if (!answer.ok) console.error(`${url} answered ${answer.status}: ${(await answer.text()).slice(0, 500)}`);
  process.exitCode = answer.ok ? 0 : 1;
} catch (error) {
  console.error(`${url} does not answer: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}
