// Runs a service's tests while one library after the other is broken: what it exports throws as soon as the service, or
// another library, calls it. What a test calls by itself still works, so that a test never fails by its own doing; but
// the functions of what it is given that way (a client, routes) throw too when the service uses them.
// In a container of the service's `test` stage, by the file on standard input:
//   node --input-type=module - SERVICE_FOLDER LIBRARY=FOLDER…  →  {"": [names that failed with all intact], LIBRARY: […]}
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const BREAK = `
export function broken(value, name) {
  if (Array.isArray(value)) return value.map((one) => broken(one, name));
  if (value && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, broken(one, name + '.' + key)]));
  }
  if (typeof value !== 'function') return value;
  function instead(...args) {
    const byTest = new Error().stack.split('\\n')[2].includes('.test.mjs');
    if (!byTest && process.env.BROKEN === LIBRARY) throw new Error(LIBRARY + ' is broken: ' + name);
    return broken(new.target ? Reflect.construct(value, args) : value.apply(this, args), name);
  }
  instead.prototype = value.prototype;
  return instead;
}
`;

/** Puts a breakable twin before each module that the library's package exports. */
async function wrap(library, folder) {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  writeFileSync(join(folder, 'break.mjs'), `const LIBRARY = ${JSON.stringify(library)};${BREAK}`);
  for (const [entry, file] of Object.entries(manifest.exports)) {
    if (entry !== '.' && !usable(folder, file)) continue;
    const names = Object.keys(await import(resolve(folder, file)));
    const twin = file.replace('./', './breakable-');
    const lines = names.map((name) => `export const ${name} = broken(real.${name}, '${name}');`);
    writeFileSync(join(folder, twin), [`import * as real from '${file}';`, "import { broken } from './break.mjs';", ...lines].join('\n'));
    manifest.exports[entry] = twin;
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
}

/** An entry whose own dependency this service does not have is one that it does not use. */
function usable(folder, file) {
  return spawnSync('node', [resolve(folder, file)]).status === 0;
}

function failures(folder, library) {
  const files = readdirSync(folder).filter((name) => name.endsWith('.test.mjs')).map((name) => join(folder, name));
  const { stdout } = spawnSync('node', ['--test', '--test-reporter=tap', ...files], { encoding: 'utf8', env: { ...process.env, BROKEN: library } });
  if (!/^# pass \d+$/m.test(stdout)) throw new Error(`no test ran in ${folder}: ${stdout}`);
  return [...stdout.matchAll(/^ *not ok \d+ - (.*)$/gm)].map(([, name]) => name);
}

const [service, ...libraries] = process.argv.slice(2);
const pairs = libraries.map((one) => one.split('='));
for (const [library, folder] of pairs) await wrap(library, folder);
const found = ['', ...pairs.map(([library]) => library)].map((library) => [library, failures(service, library)]);
console.log(JSON.stringify(Object.fromEntries(found)));
