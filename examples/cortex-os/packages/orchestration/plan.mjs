// From a text to a plan, by plain rules: which tool helps, and which steps are taken in which order.

/** @typedef {{goal: string, tool: {name: string, arguments: object}, steps: Array<'recall'|'tool'|'ask'|'remember'>}} Plan */

const NUMBER = /-?\d+(?:\.\d+)?/g;

/** @param {string} text @returns {Plan} */
export function planTask(text) {
  return { goal: text, tool: chooseTool(text), steps: ['recall', 'tool', 'ask', 'remember'] };
}

function chooseTool(text) {
  const numbers = (text.match(NUMBER) ?? []).map(Number);
  if (numbers.length >= 2 && /\b(sum|add|total|plus)\b/i.test(text)) return { name: 'sum', arguments: { numbers } };
  if (/\b(time|date|clock|today)\b/i.test(text)) return { name: 'clock', arguments: {} };
  return { name: 'word_count', arguments: { text } };
}
