/** On every error of this package, of whichever copy of it. */
export const BRAND = Symbol.for('nestjs-lock:error');
