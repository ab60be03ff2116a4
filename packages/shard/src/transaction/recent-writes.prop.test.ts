import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RecentWrites } from './recent-writes.ts';

/** Against a list of everything: complete where they say so, never a write that was not. */
it('recent writes find every write that they say they know, and nothing else', () => {
  const name = fc.constantFrom('a', 'b', 'ba', 'c', 'd');
  const write = fc.record({ name, back: fc.integer({ min: 0, max: 5 }) });
  fc.assert(
    fc.property(
      fc.array(write, { maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.record({ name, end: name, since: fc.nat(100), span: fc.nat(30) }), {
        minLength: 5,
        maxLength: 20,
      }),
      (writes, capacity, questions) => {
        const recent = new RecentWrites(3, capacity);
        const all: { name: string; timestamp: number }[] = [];
        let clock = 10;
        const newest = new Map<string, number>();
        for (const { name, back } of writes) {
          clock++;
          // Intents become versions of their own, somewhat older time; never below the key's last one.
          const timestamp = Math.max(clock - back, (newest.get(name) ?? 0) + 1);
          clock = Math.max(clock, timestamp);
          newest.set(name, timestamp);
          all.push({ name, timestamp });
          recent.add(name, timestamp);
        }
        const oldest = (count: number): number[] =>
          all.slice(0, Math.max(0, count)).map(({ timestamp }) => timestamp);
        for (const { name, end, since: asked, span } of questions) {
          const since = Math.max(asked, 3);
          const upTo = since + span;
          const within = all.filter(({ timestamp }) => timestamp > since && timestamp <= upTo);
          const ofKey = within.filter((write) => write.name === name);
          const found = recent.findKey(name, since, upTo);
          if (recent.knowsKey(name, since)) expect(found > 0).toBe(ofKey.length > 0);
          else expect(since).toBeLessThan(Math.max(...oldest(writes.length - capacity)));
          if (found > 0) expect(ofKey.map(({ timestamp }) => timestamp)).toContain(found);
          const ofSpan = within.filter((write) => name <= write.name && write.name < end);
          const first = recent.findSpan(name, end, since, upTo);
          if (recent.knowsSpan(name, end, since)) expect(first > 0).toBe(ofSpan.length > 0);
          if (first > 0) expect(ofSpan.map(({ timestamp }) => timestamp)).toContain(first);
          const last = recent.newestOf(name);
          if (last > 0) expect(last).toBe(newest.get(name));
          else expect(newest.get(name) ?? 0).toBeLessThanOrEqual(recent.missesUpTo(name));
        }
      },
    ),
    { numRuns: 300 },
  );
});

it('recent writes of one table say nothing of another, whose rows are beside them', () => {
  const recent = new RecentWrites(3, 10);
  for (let i = 0; i < 10_000; i++) recent.add(`one ${String(i).padStart(9, '0')}`, 10 + i);
  expect(recent.knowsSpan('two', 'two~', 5)).toBe(true);
  expect(recent.knowsKey('two 7', 5)).toBe(true);
  expect(recent.findSpan('two', 'two~', 5, 20_000)).toBe(0);
  expect(recent.knowsSpan('one', 'one~', 5)).toBe(false);
  expect(recent.knowsSpan('on', 'p', 5)).toBe(false);
  expect(recent.knowsSpan('one', 'one~', 10_000)).toBe(true);
});
