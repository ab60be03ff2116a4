import { present } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { EventPost } from './event-post.ts';

it('tells each event a few times, and passes over what is none', async () => {
  const post = new EventPost(new ManualClock());
  post.say({ kind: 'split', text: 'r1: cut.' });
  const told = [post.toTell(), post.toTell(), post.toTell(), post.toTell()];
  expect(told.map(({ length }) => length)).toEqual([1, 1, 1, 0]);
  post.take([
    ...present(told[0], 'told'),
    { kind: 'split', text: 'x'.repeat(1001), atMs: 1 },
    { kind: '', text: 'x', atMs: 1 },
    { kind: 'split', text: 'x', atMs: -1 },
  ]);
  expect(post.takeReceived().map(({ text }) => text)).toEqual(['r1: cut.']);
  expect(post.takeReceived()).toEqual([]);
});
