// The page, as text. Every value that is not written here goes through `html`, which escapes it.

/** Markup that is already safe. */
class Markup {
  constructor(text) { this.text = text; }
}

/** Escapes what is put in, but for what `html` made itself; lists are joined. */
function html(parts, ...values) {
  const safe = (value) => {
    if (value instanceof Markup) return value.text;
    if (Array.isArray(value)) return value.map(safe).join('');
    if (value === undefined || value === null || value === false) return '';
    return String(value).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  };
  return new Markup(parts.reduce((text, part, i) => text + safe(values[i - 1]) + part));
}

/**
 * @param {{config: {release: string, apiUrl: string|null}, visitor?: {sub: string, tenant: string},
 *   tasks: {value?: any[], reason?: string}, tools: {value?: {tools: any[]}, reason?: string}}} content
 * @returns {string}
 */
export function page({ config, visitor, tasks, tools }) {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Cortex-OS</title>
  <link rel="stylesheet" href="/style.css">
  <link rel="icon" href="data:,">
  <script type="application/json" id="config">${asData(config)}</script>
  <script type="module" src="/page.js"></script>
</head>
<body>
  <header>
    <h1>Cortex<span>OS</span></h1>
    <p class="release">release <b>${config.release}</b></p>
    ${visitor ? html`<form method="post" action="/session/end" class="who"><span>${visitor.tenant}</span><button>Sign out</button></form>` : ''}
  </header>
  <main>
    <section>
      <h2>Tasks</h2>
      ${visitor ? tasksOf(tasks) : signIn()}
    </section>
    <section>
      <h2>Tools</h2>
      ${toolsOf(tools)}
    </section>
  </main>
</body>
</html>
`.text;
}

function signIn() {
  return html`<form method="post" action="/session" class="card">
    <label for="token">Tasks belong to a tenant. Paste a token to see yours.</label>
    <div class="row"><input id="token" name="token" type="password" autocomplete="off" required><button>Sign in</button></div>
    <p class="hint">A token comes from <code>node apps/api/token.mjs demo</code> in the api's container.</p>
  </form>`;
}

function tasksOf({ value, reason }) {
  return html`<form method="post" action="/tasks" class="card">
    <label for="text">What is to be done?</label>
    <div class="row"><input id="text" name="text" maxlength="4000" placeholder="sum of 19, 23 and 0.5" required autofocus><button>Hand over</button></div>
  </form>
  ${reason ? missing(reason) : html`<ol class="tasks">${value.map(taskOf)}</ol>`}
  ${value?.length === 0 ? html`<p class="hint">Nothing yet.</p>` : ''}`;
}

function taskOf({ id, text, state, createdAt, result }) {
  return html`<li class="card" data-task="${id}" data-state="${state}">
    <p class="line"><span class="state ${state}">${state}</span><time datetime="${createdAt}">${createdAt.slice(0, 19).replace('T', ' ')} UTC</time></p>
    <p class="text">${text}</p>
    ${result?.error ? html`<p class="bad">${result.error}</p>` : ''}
    ${result?.tool ? html`<dl>
      <dt>${result.tool.name}</dt><dd><code>${JSON.stringify(result.tool.output)}</code></dd>
      <dt>memory</dt><dd>${result.memory.reason ?? `${result.memory.recalled?.length ?? 0} recalled (${result.memory.space})`}</dd>
      <dt>model</dt><dd>${result.model.answer ?? `${result.model.status}, says ${result.model.reportedBy}`}</dd>
    </dl>` : ''}
  </li>`;
}

function toolsOf({ value, reason }) {
  if (reason) return missing(reason);
  return html`<ul class="tools">${value.tools.map(({ name, description }) => html`<li class="card" data-tool="${name}"><b>${name}</b><span>${description}</span></li>`)}</ul>`;
}

function missing(reason) {
  return html`<p class="card bad" role="alert">${reason}</p>`;
}

/** JSON that cannot end the element it stands in. */
function asData(value) {
  return new Markup(JSON.stringify(value).replace(/</g, '\\u003c'));
}
