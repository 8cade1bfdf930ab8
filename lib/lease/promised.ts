/** What a backend of the user's may also throw at once, as a promise that rejects. */
export function promised<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return ask();
  } catch (error) {
    return rejected(error);
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- it rejects with whatever was thrown
async function rejected(error: unknown): Promise<never> {
  throw error;
}
