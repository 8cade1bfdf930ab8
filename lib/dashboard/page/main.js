// The page: what is told each second (stream.js) is shown as rows (rows.js), one of them in detail
// (details.js), and orders go to the server (orders.js).
import { Details } from './details.js';
import { Rows } from './rows.js';
import { Stream } from './stream.js';
import { count } from './text.js';

const $ = (id) => document.getElementById(id);

/** A step of "Show more": the server has its own bound. */
const MORE = [100, 300, 1000];

const view = {
  filter: location.hash ? decodeURIComponent(location.hash.slice(1)) : '',
  limit: MORE[0],
};
$('filter').value = view.filter;

const stream = new Stream({
  state: show,
  allowed: (allowed) => details.allow(allowed),
  connection: (text) => write('connection', text),
});
const details = new Details($('details'), (key) => look({ key }));
const rows = new Rows($('rows'), (key) => {
  details.open(key);
  look({ key });
});

function look(change) {
  Object.assign(view, change);
  stream.open(view);
}

function show(state) {
  const { totals, matching, sweep, trouble } = state;
  rows.show(state.rows);
  details.show(state.opened);
  const looking =
    sweep === undefined ? 'looking at all of them …' : `all seen in ${seconds(sweep)}`;
  write('totals', `${count(totals.keys, 'key')} held, ${totals.waiters} waiting; ${looking}`);
  const isPart = matching > state.rows.length;
  write(
    'matching',
    isPart ? `the slowest ${state.rows.length} of ${matching}` : count(matching, 'key'),
  );
  $('more').hidden = !isPart || view.limit >= MORE.at(-1);
  $('empty').hidden = matching > 0 || sweep === undefined;
  $('trouble').hidden = trouble === undefined;
  write('trouble', trouble === undefined ? '' : `The locks cannot be seen now: ${trouble}`);
}

/** Unchanged text is left alone: a screen reader would read it again. */
function write(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

let typing;
$('filter').addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    const filter = $('filter').value;
    history.replaceState(null, '', `#${encodeURIComponent(filter)}`);
    look({ filter });
  }, 200);
});
$('search').addEventListener('submit', (event) => event.preventDefault());
$('more').addEventListener('click', () => {
  look({ limit: MORE.find((limit) => limit > view.limit) ?? view.limit });
});
setInterval(() => {
  rows.tick();
  details.tick();
}, 1000);
look({});
