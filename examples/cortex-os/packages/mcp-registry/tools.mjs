// The tools. Each says what it takes, checks it, and gives a plain object.
import { Problem } from '@cortex-os/kernel';

const MAX_NUMBERS = 1000;

/** @type {Array<{name: string, description: string, inputSchema: object, run: (args: any) => object}>} */
export const tools = [
  {
    name: 'clock',
    description: 'The time now, in UTC.',
    inputSchema: { type: 'object', properties: {}, additionalProperties: false },
    run: () => ({ now: new Date().toISOString() }),
  },
  {
    name: 'word_count',
    description: 'How many words and characters a text has.',
    inputSchema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'], additionalProperties: false },
    run({ text }) {
      if (typeof text !== 'string') throw new Problem(400, 'bad_arguments', 'word_count: text must be a string');
      return { words: text.match(/[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu)?.length ?? 0, characters: [...text].length };
    },
  },
  {
    name: 'sum',
    description: 'The sum of some numbers.',
    inputSchema: { type: 'object', properties: { numbers: { type: 'array', items: { type: 'number' }, maxItems: MAX_NUMBERS } }, required: ['numbers'], additionalProperties: false },
    run({ numbers }) {
      const valid = Array.isArray(numbers) && numbers.length <= MAX_NUMBERS && numbers.every(Number.isFinite);
      if (!valid) throw new Problem(400, 'bad_arguments', `sum: numbers must be a list of at most ${MAX_NUMBERS} numbers`);
      return { sum: numbers.reduce((total, number) => total + number, 0) };
    },
  },
];
