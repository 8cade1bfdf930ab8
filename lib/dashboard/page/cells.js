import { duration } from './text.js';

/** The cells of a row, made once and then changed where their texts are others. */
export class Cells {
  #cells;
  /** Times that go on, by the cell: how long it was at a moment of the page's clock. */
  #running = new Map();

  constructor(row, number, rightAligned) {
    this.#cells = Array.from({ length: number }, (_, index) => {
      const cell = row.insertCell();
      if (rightAligned.includes(index)) cell.className = 'number';
      return cell;
    });
  }

  at(index) {
    return this.#cells[index];
  }

  write(index, text) {
    const cell = this.#cells[index];
    if (cell.textContent !== text) cell.textContent = text;
  }

  /** @param pace 1 for a time that grows, -1 for one that runs out; no ms for a time that there is not */
  time(index, ms, pace = 1) {
    if (ms === undefined || ms === null) {
      this.#running.delete(index);
      this.write(index, '–');
      return;
    }
    this.#running.set(index, { ms, pace, at: performance.now() });
    this.write(index, duration(ms));
  }

  tick() {
    for (const [index, { ms, pace, at }] of this.#running) {
      this.write(index, duration(ms + pace * (performance.now() - at)));
    }
  }
}
