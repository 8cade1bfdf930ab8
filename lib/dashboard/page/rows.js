import { Cells } from './cells.js';
import { drawLine } from './line.js';
import { plain, process } from './text.js';

const [HOLDER, MODE, HELD, LEFT, TOKEN, WAITING, WAIT, LINE] = [0, 1, 2, 3, 4, 5, 6, 7];

/** The table of keys. A row stays the same element while its key is held, so that focus stays on it. */
export class Rows {
  #rows = new Map();

  constructor(body, open) {
    this.body = body;
    this.open = open;
  }

  show(keys) {
    const seen = new Set(keys.map(({ key }) => key));
    for (const [key, { row }] of this.#rows) {
      if (seen.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    // Who works in the table by keyboard is not to lose the place.
    const keepOrder = this.body.contains(document.activeElement);
    keys.forEach((state, index) => {
      const known = this.#rows.get(state.key) ?? this.#make(state.key);
      fill(known, state);
      const there = this.body.children[index];
      const isThere = known.row.parentNode === this.body;
      if (there !== known.row && !(keepOrder && isThere)) {
        this.body.insertBefore(known.row, there ?? null);
      }
    });
  }

  tick() {
    for (const { cells } of this.#rows.values()) cells.tick();
  }

  #make(key) {
    const row = document.createElement('tr');
    const heading = document.createElement('th');
    heading.scope = 'row';
    const button = document.createElement('button');
    button.type = 'button';
    button.setAttribute('aria-haspopup', 'dialog');
    const text = document.createElement('bdi');
    text.textContent = plain(key);
    button.append(text);
    button.addEventListener('click', () => this.open(key));
    const badge = document.createElement('span');
    badge.className = 'badge';
    badge.hidden = true;
    heading.append(button, badge);
    row.append(heading);
    const made = { row, badge, cells: new Cells(row, 8, [HELD, LEFT, TOKEN, WAITING, WAIT]) };
    this.#rows.set(key, made);
    return made;
  }
}

function fill(
  { badge, cells },
  { holders, holderCount, waiters, longestWait, isLeadership, line },
) {
  const [first] = holders;
  badge.hidden = !isLeadership;
  if (isLeadership) badge.textContent = 'leadership';
  const others = holderCount > 1 ? ` and ${holderCount - 1} more` : '';
  const label = first?.label === undefined ? '' : `${plain(first.label)}, `;
  cells.write(HOLDER, first === undefined ? 'nobody' : `${label}${process(first)}${others}`);
  cells.write(
    MODE,
    first === undefined
      ? '–'
      : holderCount > 1 && first.mode === 'exclusive'
        ? 'permits'
        : first.mode,
  );
  cells.time(HELD, first?.held);
  cells.time(LEFT, first?.left, -1);
  cells.write(TOKEN, first === undefined ? '–' : String(first.token));
  cells.write(WAITING, String(waiters));
  cells.time(WAIT, longestWait);
  drawLine(cells.at(LINE), line);
}
