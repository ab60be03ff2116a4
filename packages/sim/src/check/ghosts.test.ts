/** A ghost must be seen; what looks like one and is none must not. */
import { expect, it } from 'vitest';
import { Ghosts } from './ghosts.ts';

type Group = Parameters<Ghosts['look']>[1][number];

const group = (rangeId: number, self: number, lastApplied = 5): Group =>
  ({ state: { rangeId, self, lastApplied } }) as Group;

it('a replica that has left its store is not there again', () => {
  const ghosts = new Ghosts();
  ghosts.look(1, [group(7, 3)]);
  ghosts.look(1, []);
  // Another one, and the same one elsewhere.
  ghosts.look(1, [group(7, 4)]);
  ghosts.look(2, [group(7, 3)]);
  expect(() => ghosts.look(1, [group(7, 3, 0)])).toThrow('r7/3 has left s1, and is there again');
});

it('one that begins anew at its log, or that never had a state, is none', () => {
  const ghosts = new Ghosts();
  ghosts.look(1, [group(7, 3)]);
  ghosts.look(1, [group(7, 3, 0)]);
  ghosts.look(1, [group(7, 3), group(8, 2, 0)]);
  ghosts.look(1, [group(7, 3)]);
  ghosts.look(1, [group(7, 3), group(8, 2, 0)]);
});
