// What a service says about itself: logs, trace context, metrics. Nothing here knows HTTP routes or stores.
export { createLogger } from './log.mjs';
export { createMetrics } from './metrics.mjs';
export { currentTrace, newTrace, parseTraceparent, traceHeaders, withTrace } from './trace.mjs';
