/** Orders something of a lock. Resolves to how many holders there were, or to the reason against it. */
export async function order(operation, body) {
  try {
    const response = await fetch(operation, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Nestjs-Lock': 'dashboard' },
      body: JSON.stringify(body),
    });
    const { holders, message } = await response.json();
    return response.ok ? { holders } : { message: message ?? response.statusText };
  } catch {
    return { message: 'the server cannot be reached' };
  }
}
