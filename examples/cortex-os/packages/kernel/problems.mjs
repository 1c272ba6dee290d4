// The errors that have a meaning for a caller, and the deadline that every wait gets.

/** An answer other than success: `status` is the HTTP status, `code` a stable word for programs. */
export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

/** Another part does not answer; `part` names it. */
export class Unreachable extends Problem {
  constructor(part, reason) {
    super(503, 'unreachable', `${part} does not answer: ${reason}`);
    this.part = part;
  }
}

/**
 * `promise`, or an error after `ms` milliseconds.
 * @template T @param {Promise<T>} promise @param {number} ms @param {string} what @returns {Promise<T>}
 */
export async function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
