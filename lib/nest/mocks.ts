const UNHEARD_OF = 'isThisAnAutoMock';

/**
 * Whether a value has the method that we are to call. Not what a test put in its place: an empty
 * object, or an auto-mock, which has whatever it is asked for, and answers each call with another of
 * its kind, for which one would wait for ever.
 */
export function canBeAsked<T extends object>(value: unknown, method: keyof T): value is T {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return typeof Reflect.get(value, method) === 'function' && !hasEverything(value);
}

export function hasEverything(value: object): boolean {
  return Reflect.get(value, UNHEARD_OF) !== undefined;
}
