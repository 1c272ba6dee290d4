// While a task is being done the page asks again, as soon as nobody is typing.
const open = () => document.querySelector('[data-state="submitted"]');
const typing = () => document.activeElement?.matches('input') && document.activeElement.value !== '';

async function refresh() {
  if (!open() || typing()) return;
  const answer = await fetch('/', { headers: { accept: 'text/html' } }).catch(() => undefined);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('.tasks');
  if (fresh) document.querySelector('.tasks').replaceWith(fresh);
}
setInterval(refresh, 1000);

// Where the api is, is known only at run time: the server put it into the page.
const { apiUrl } = JSON.parse(document.getElementById('config').textContent);
if (apiUrl) {
  const link = Object.assign(document.createElement('p'), { className: 'hint', textContent: `The same over REST: ${apiUrl}/v1/tasks` });
  document.querySelector('main section').append(link);
}
