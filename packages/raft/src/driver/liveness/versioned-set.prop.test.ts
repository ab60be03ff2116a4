/** Two copies of a set over a network that loses, doubles and reorders, against one plain map. */
import { type RangeId, toRangeId, toReplicaId, toTerm } from '@flotilla/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Leadership, SetDelta } from '../../store-messages.ts';
import { HeldSet, KeptSet } from './versioned-set.ts';

function item(range: number, term: number): Leadership {
  return {
    rangeId: toRangeId(range),
    term: toTerm(term),
    leader: toReplicaId(1),
    follower: toReplicaId(2),
  };
}

function contents(set: { rangeIds(): readonly RangeId[]; get(id: RangeId): unknown }): unknown {
  const entries = set.rangeIds().map((id) => [id, set.get(id)] as const);
  return new Map(entries.sort((a, b) => a[0] - b[0]));
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ set: fc.nat(6), term: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ remove: fc.nat(6) }) },
  { weight: 4, arbitrary: fc.record({ send: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 5, arbitrary: fc.record({ deliver: fc.nat(50), copy: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ acknowledge: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.constant({ restart: true as const }) },
);

test('the copy is at every version what the set was, and ends alike', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const kept = new KeptSet();
      let held = new HeldSet();
      let wire: SetDelta[] = [];
      /** What the set was when a complete delta of this version was made. */
      const history = new Map<number, unknown>();
      const versions: number[] = [0];
      const send = (itemsMax: number): void => {
        const deltas = kept.deltas(itemsMax);
        wire.push(...deltas);
        expect(deltas.map((delta) => delta.complete)).toEqual(
          deltas.map((_, i) => i === deltas.length - 1),
        );
        for (const delta of deltas)
          expect(delta.set.length + delta.removed.length).toBeLessThanOrEqual(itemsMax);
        history.set(deltas[deltas.length - 1]?.version ?? 0, contents(kept));
      };
      for (const each of steps) {
        if ('set' in each) kept.set(item(each.set + 1, each.term));
        else if ('remove' in each) kept.delete(toRangeId(each.remove + 1));
        else if ('send' in each) send(each.send);
        else if ('deliver' in each) {
          const at = each.deliver % Math.max(1, wire.length);
          const delta = wire[at];
          if (delta === undefined) continue;
          if (!each.copy) wire.splice(at, 1);
          const before = held.version;
          const applied = held.apply(delta, () => {});
          expect(held.version).toBeGreaterThanOrEqual(before);
          if (applied && delta.complete) expect(contents(held)).toEqual(history.get(delta.version));
          versions.push(held.version);
        } else if ('acknowledge' in each) {
          kept.acknowledge(versions[each.acknowledge % versions.length] ?? 0);
        } else {
          // The holder's process starts again: answers and deltas of its earlier life are told apart by the incarnation.
          held = new HeldSet();
          wire = [];
          versions.length = 1;
          kept.forgetAcknowledgement();
        }
      }
      const outcomes = kept.deltas(2).map((delta) => held.apply(delta, () => {}));
      expect(outcomes.at(-1)).toBe(true);
      expect(contents(held)).toEqual(contents(kept));
      kept.acknowledge(held.version);
      expect(kept.isAcknowledged).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('what was never sent is not acknowledged, and an old word takes nothing back', () => {
  const kept = new KeptSet();
  kept.set(item(1, 1));
  kept.set(item(2, 1));
  expect(kept.acknowledge(3)).toBe(false);
  expect(kept.acknowledge(2)).toBe(true);
  expect(kept.acknowledge(1)).toBe(false);
  expect(kept.deltas(10)).toEqual([{ base: 2, version: 2, complete: true, set: [], removed: [] }]);
});

test('says what is about to change while the old state stands', () => {
  const kept = new KeptSet();
  const held = new HeldSet();
  kept.set(item(1, 1));
  for (const delta of kept.deltas(10)) held.apply(delta, () => {});
  kept.set(item(1, 2));
  const seen: unknown[] = [];
  for (const delta of kept.deltas(10)) held.apply(delta, (id) => void seen.push(held.get(id)));
  expect(seen).toEqual([item(1, 1)]);
});
