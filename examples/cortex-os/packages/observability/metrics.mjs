// Counters, gauges and histograms in the Prometheus text format. Labels are few and bounded: never an id.

const BUCKETS = [0.005, 0.02, 0.05, 0.2, 0.5, 1, 2.5, 5, 15];

/** @returns one registry; every service has its own */
export function createMetrics() {
  /** @type {Map<string, {type: string, help: string, series: () => Array<[string, object, number]>}>} */
  const families = new Map();

  /** A number that only grows. */
  function counter(name, help) {
    const values = new Map();
    families.set(name, { type: 'counter', help, series: () => [...values].map(([key, value]) => [name, JSON.parse(key), value]) });
    return { inc: (labels = {}, by = 1) => add(values, labels, by) };
  }

  /** A number read when somebody asks; `read` gives one value, or pairs of labels and value. */
  function gauge(name, help, read) {
    families.set(name, { type: 'gauge', help, series: () => {
      const now = read();
      return (Array.isArray(now) ? now : [[{}, now]]).map(([labels, value]) => [name, labels, Number(value)]);
    } });
  }

  /** Durations in seconds. */
  function histogram(name, help) {
    const seen = new Map();
    families.set(name, { type: 'histogram', help, series: () => [...seen].flatMap(([key, { counts, sum, count }]) => {
      const labels = JSON.parse(key);
      return [
        ...BUCKETS.map((le, i) => [`${name}_bucket`, { ...labels, le }, counts[i]]),
        [`${name}_bucket`, { ...labels, le: '+Inf' }, count],
        [`${name}_sum`, labels, sum],
        [`${name}_count`, labels, count],
      ];
    }) });
    return { observe(seconds, labels = {}) {
      const key = JSON.stringify(labels);
      const entry = seen.get(key) ?? { counts: BUCKETS.map(() => 0), sum: 0, count: 0 };
      BUCKETS.forEach((le, i) => { if (seconds <= le) entry.counts[i] += 1; });
      entry.sum += seconds;
      entry.count += 1;
      seen.set(key, entry);
    } };
  }

  /** @returns {string} the whole registry as Prometheus reads it */
  function render() {
    return [...families].map(([name, { type, help, series }]) => [
      `# HELP ${name} ${help}`, `# TYPE ${name} ${type}`,
      ...series().map(([metric, labels, value]) => `${metric}${text(labels)} ${value}`),
    ].join('\n')).join('\n') + '\n';
  }

  return { counter, gauge, histogram, render };
}

function add(values, labels, by) {
  const key = JSON.stringify(labels);
  values.set(key, (values.get(key) ?? 0) + by);
}

function text(labels) {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${String(value).replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`);
  return pairs.length ? `{${pairs.join(',')}}` : '';
}
