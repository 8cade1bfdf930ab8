import { Cells } from './cells.js';
import { order } from './orders.js';
import { plain, process } from './text.js';

/** The dialog that shows one key, and orders things of it. */
export class Details {
  #key;
  #lists = [];

  constructor(dialog, look) {
    this.dialog = dialog;
    const $ = (id) => dialog.querySelector(`#${id}`);
    this.$ = $;
    dialog.addEventListener('close', () => {
      this.#key = undefined;
      look(undefined);
    });
    $('revoke').addEventListener('submit', (event) => {
      event.preventDefault();
      const body = { key: this.#key, reason: $('reason').value, grace: $('grace').value };
      void this.#order('revoke', body, 'was asked for it', 'were asked for it');
    });
    $('force-release').addEventListener('submit', (event) => {
      event.preventDefault();
      $('sure').checked = false;
      void this.#order('force-release', { key: this.#key }, 'lost it', 'lost it');
    });
    this.#lists = [
      new List($('holders'), [3, 4, 5], (cells, holder) => {
        who(cells, 0, holder);
        cells.write(2, holder.mode);
        cells.time(3, holder.held);
        cells.time(4, holder.left, -1);
        cells.write(5, String(holder.token));
      }),
      new List($('queue'), [4], (cells, waiter) => {
        cells.write(0, String(waiter.place + 1));
        who(cells, 1, waiter);
        cells.write(3, waiter.mode);
        cells.time(4, waiter.waited);
      }),
      new List($('terms'), [2, 3, 4], (cells, term) => {
        who(cells, 0, term);
        cells.write(2, String(term.token));
        cells.time(3, term.began);
        cells.time(4, term.ended);
      }),
    ];
  }

  /** Which orders may be given. */
  allow({ revoke, forceRelease }) {
    this.$('revoke').hidden = !revoke;
    this.$('force-release').hidden = !forceRelease;
  }

  open(key) {
    this.#key = key;
    this.$('details-key').textContent = plain(key);
    this.$('order-result').textContent = '';
    this.$('sure').checked = false;
    this.#fill(undefined);
    this.dialog.showModal();
  }

  /** @param state undefined when nobody holds the key */
  show(state) {
    if (this.#key === undefined || (state !== undefined && state.key !== this.#key)) return;
    this.#fill(state);
    this.$('details-free').hidden = state !== undefined && state.holders.length > 0;
  }

  tick() {
    for (const list of this.#lists) list.tick();
  }

  #fill({ holders = [], queue = [], terms = [], waiters = 0 } = {}) {
    const [holderList, queueList, termList] = this.#lists;
    holderList.show(holders);
    queueList.show(queue);
    termList.show(terms);
    const isPart = queue.length < waiters;
    this.$('waiting').textContent = isPart
      ? `${waiters}, the first ${queue.length}`
      : String(waiters);
    this.$('terms-section').hidden = terms.length === 0;
  }

  async #order(operation, body, one, several) {
    const result = this.$('order-result');
    result.textContent = 'Sent …';
    const { holders, message } = await order(operation, body);
    if (message !== undefined) result.textContent = `Refused: ${message}`;
    else if (holders === 0) result.textContent = 'Nobody held it.';
    else if (holders === 1) result.textContent = `Its holder ${one}.`;
    else result.textContent = `Its ${holders} holders ${several}.`;
  }
}

function who(cells, index, owner) {
  cells.write(index, process(owner));
  cells.write(index + 1, owner.label === undefined ? '' : plain(owner.label));
}

/** The rows of a small table. */
class List {
  #rows = [];

  constructor(body, rightAligned, fill) {
    this.body = body;
    this.rightAligned = rightAligned;
    this.fill = fill;
  }

  show(items) {
    const columns = this.body.parentElement.tHead.rows[0].cells.length;
    while (this.#rows.length > items.length) {
      this.#rows.pop();
      this.body.deleteRow(-1);
    }
    while (this.#rows.length < items.length) {
      this.#rows.push(new Cells(this.body.insertRow(), columns, this.rightAligned));
    }
    items.forEach((item, index) => this.fill(this.#rows[index], item));
  }

  tick() {
    for (const cells of this.#rows) cells.tick();
  }
}
