// Taking messages one at a time. A loop asks for the next one only while its scope is allowed, and gives back what
// arrives after it no longer is: nothing is held that another release should do.
import { AckPolicy } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { Problem } from '@cortex-os/kernel';
import { parseTraceparent, withTrace } from '@cortex-os/observability';

const WAIT_MS = 1000;
const ACK_WAIT_MS = 40_000;
const RELEASE_CONSUMER_LIFE_MS = 10 * 60_000;
const RETRY_MS = 1000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * `handle` that returns acknowledges; that throws gives the message back, to be tried again after a second,
 * or drops it when the Problem is the message itself (400).
 * @param {{prefix: string, stream: string, taker: string, release: string, live: {scopes: () => string[]}, loops?: number,
 *   handle: (body: any, about: {scope: string, tries: number}) => Promise<void>,
 *   streams: () => Promise<{js: any, jsm: any}>, lost: () => void, log: import('@cortex-os/observability').Logger}} work
 */
export function workLoops({ prefix, stream, taker, release, live, loops = 2, handle, streams, lost, log }) {
  let stopping = false;

  async function consumer(scope) {
    const { js, jsm } = await streams();
    const durable = `${taker}-${scope}`;
    await jsm.consumers.add(stream, {
      durable_name: durable, filter_subject: `${prefix}.${scope}.*`, ack_policy: AckPolicy.Explicit, ack_wait: nanos(ACK_WAIT_MS),
      // A release's own consumer vanishes with it; the one for live work stays.
      ...(scope === release && { inactive_threshold: nanos(RELEASE_CONSUMER_LIFE_MS) }),
    });
    return js.consumers.get(stream, durable);
  }

  async function loop(scope) {
    let source;
    let failing = false;
    const allowed = () => !stopping && live.scopes().includes(scope);
    while (!stopping) {
      if (!allowed()) {
        await pause(100);
        continue;
      }
      try {
        source ??= await consumer(scope);
        const message = await source.next({ expires: WAIT_MS });
        failing = false;
        if (message && !allowed()) message.nak();
        else if (message) await take(message, scope);
      } catch (error) {
        if (!failing) log.warn('cannot take work, trying again', { stream, scope, error });
        failing = true;
        source = undefined;
        lost();
        await pause(500);
      }
    }
  }

  async function take(message, scope) {
    await withTrace(parseTraceparent(message.headers?.get('traceparent')), async () => {
      const tries = message.info.deliveryCount;
      try {
        await handle(asJson(message), { scope, tries });
        message.ack();
      } catch (error) {
        if (error.status === 400) {
          log.error('a message makes no sense: dropped', { subject: message.subject, error });
          message.term(error.message);
          return;
        }
        log.warn('work failed, giving it back', { subject: message.subject, tries, error });
        message.nak(RETRY_MS);
      }
    });
  }

  const running = [release, 'live'].flatMap((scope) => Array.from({ length: loops }, () => loop(scope)));
  return {
    async stop() {
      stopping = true;
      await Promise.all(running);
    },
  };
}

function asJson(message) {
  try {
    return message.json();
  } catch {
    throw new Problem(400, 'bad_json', 'it is not JSON');
  }
}
