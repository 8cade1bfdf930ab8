/** An AbortController by the standard's text that Node does not know, as jsdom has one. */
export class ForeignAbortController {
  readonly signal = new ForeignAbortSignal() as AbortSignal;

  abort(reason: unknown = new DOMException('aborted', 'AbortError')): void {
    (this.signal as ForeignAbortSignal).end(reason);
  }
}

class ForeignAbortSignal extends EventTarget implements AbortSignal {
  readonly [Symbol.toStringTag] = 'AbortSignal';
  aborted = false;
  reason: unknown = undefined;
  onabort = null;

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  end(reason: unknown): void {
    if (this.aborted) return;
    Object.assign(this, { aborted: true, reason });
    this.dispatchEvent(new Event('abort'));
  }
}
