/**
 * Asks a backend, which may answer at once, later, or by throwing. An answer that is there is told at
 * once; an error never is, so that a long line of callers who are all refused is no deep recursion.
 */
export function whenAnswered<T>(
  ask: () => T | Promise<T>,
  tell: (answer: T) => void,
  refuse: (error: unknown) => void,
): void {
  let answer: T | Promise<T>;
  try {
    answer = ask();
  } catch (error) {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as it was thrown
    answer = Promise.reject<T>(error);
  }
  if (isPromise(answer)) answer.then(tell, refuse);
  else tell(answer);
}

function isPromise<T>(answer: T | Promise<T>): answer is Promise<T> {
  return typeof (answer as Promise<T> | undefined)?.then === 'function';
}
