// Vectors without a model: words hashed into a fixed number of places, with a sign, scaled to length one. They find
// texts that share words and nothing more, and are called lexical wherever they are used.

export const LEXICAL_SIZE = 256;

/** @param {string} text @returns {number[]} */
export function lexicalVector(text) {
  const vector = new Array(LEXICAL_SIZE).fill(0);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ['']) {
    const hash = fnv1a(word);
    vector[hash % LEXICAL_SIZE] += hash & 0x80000000 ? -1 : 1;
  }
  const length = Math.hypot(...vector);
  if (length === 0) vector[0] = 1; // words that cancelled each other out: cosine needs some direction
  return vector.map((value) => value / (length || 1));
}

/** @returns {number} 32 bits, unsigned */
function fnv1a(word) {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(word)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
