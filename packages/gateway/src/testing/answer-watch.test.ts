import { expect, test } from 'vitest';
import { AnswerWatch } from './answer-watch.ts';
import { message } from './raw-client.ts';

const ready = message('Z', Buffer.from('I'));
const error = message('E', Buffer.from('SERROR\0Mprepared statement "the end" does not exist\0\0'));
const notification = message('A', Buffer.from('\0\0\0\x01x\0y\0'));

function watch(...chunks: readonly Buffer[]): AnswerWatch {
  const watched = new AnswerWatch('"the end"');
  for (const chunk of chunks) watched.take(chunk);
  return watched;
}

test('ReadyForQuery is the answer to the last question only behind that one', () => {
  expect(watch(ready, error).answered).toBe(false);
  expect(watch(error, ready).answered).toBe(true);
  expect(watch(message('E', Buffer.from('SERROR\0\0')), ready).answered).toBe(false);
});

test('a notification may follow it, and come between', () => {
  expect(watch(notification, error, notification, ready, notification).answered).toBe(true);
});

test('messages come in pieces of any size', () => {
  const bytes = Buffer.concat([notification, error, ready]);
  const pieces = [...bytes].map((byte) => Buffer.of(byte));
  expect(watch(...pieces.slice(0, -1)).answered).toBe(false);
  expect(watch(...pieces)).toMatchObject({ answered: true, defect: undefined });
});

test.each([
  ['an unknown type', message('?')],
  ['a length below its own', message('Z', Buffer.alloc(0), 3)],
  ['a length below zero', message('Z', Buffer.alloc(0), -2)],
])('%s is a defect', (_what, bytes) => {
  expect(watch(ready, bytes).defect).toMatch(/^a message of type \d+ and length -?\d+$/);
});
