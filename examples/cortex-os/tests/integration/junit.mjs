// The report that machines read. Node's own JUnit reporter writes a cancelled test as a test case without a <failure>
// element, which reads as passed; here every test that did not pass has one.

/** @typedef {{name: string, seconds: number, failure?: string}} Outcome */

/** @param {string} suite @param {Outcome[]} outcomes @returns {string} */
export function junitReport(suite, outcomes) {
  const failures = outcomes.filter(({ failure }) => failure !== undefined).length;
  const total = outcomes.reduce((sum, { seconds }) => sum + seconds, 0);
  const cases = outcomes.map(({ name, seconds, failure }) => {
    const start = `    <testcase classname="${quoted(suite)}" name="${quoted(name)}" time="${seconds.toFixed(3)}"`;
    return failure === undefined ? `${start}/>` : `${start}>\n      <failure message="${quoted(failure)}"/>\n    </testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="utf-8"?>',
    '<testsuites>',
    `  <testsuite name="${quoted(suite)}" tests="${outcomes.length}" failures="${failures}" errors="0" skipped="0" time="${total.toFixed(3)}">`,
    ...cases,
    '  </testsuite>',
    '</testsuites>',
  ].join('\n');
}

/** An attribute's value: without characters that XML does not know, on one line. */
function quoted(text) {
  return text.replace(/\s+/g, ' ').replace(/[^\u0020-\ud7ff\ue000-\ufffd]/g, '?').replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
