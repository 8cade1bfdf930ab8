/** What the server tells each second. One connection, made anew when something else is to be seen. */
export class Stream {
  #source;

  constructor(hear) {
    this.hear = hear;
  }

  open({ filter, limit, key }) {
    this.#source?.close();
    const query = new URLSearchParams({ filter, limit });
    if (key !== undefined) query.set('key', key);
    const source = new EventSource(`events?${query}`);
    this.#source = source;
    for (const event of ['state', 'allowed']) {
      source.addEventListener(event, ({ data }) => this.hear[event](JSON.parse(data)));
    }
    source.addEventListener('open', () => this.hear.connection('Live'));
    source.addEventListener('error', () => {
      // A refusal is final for the browser, and may not be for the server.
      if (source.readyState === EventSource.CLOSED && source === this.#source) {
        setTimeout(() => {
          if (source === this.#source) this.open({ filter, limit, key });
        }, 5000);
      }
      this.hear.connection('Not connected: what is shown is old. Trying again …');
    });
  }
}
