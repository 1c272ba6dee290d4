import assert from 'node:assert/strict';
import { test } from 'node:test';
import { junitReport } from './junit.mjs';

test('every test that did not pass has a failure, and no text breaks the report', () => {
  const report = junitReport('Cortex-OS', [
    { name: 'a "quoted" <name>', seconds: 0.25 },
    { name: 'late', seconds: 1, failure: 'timed\nout & \u0000 lost' },
  ]);
  assert.match(report, /tests="2" failures="1" errors="0" skipped="0" time="1.250"/);
  assert.match(report, /name="a &#34;quoted&#34; &#60;name&#62;" time="0.250"\/>/);
  assert.match(report, /name="late" time="1.000">\n\s+<failure message="timed out &#38; \? lost"\/>/);
});
