/** The cached log over a storage against an array. */
import { toLogIndex, toTerm } from '@flotilla/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LogEntry } from '../messages.ts';
import { MemoryLogStorage } from '../testing/memory-log-storage.ts';
import { RaftLog } from './log.ts';

function entry(index: number, term: number, bytes: number): LogEntry {
  const data = new Uint8Array(bytes);
  return { index: toLogIndex(index), term: toTerm(term), kind: 'command', data };
}

type Operation =
  | { readonly kind: 'append'; readonly termStep: number; readonly bytes: number }
  | {
      readonly kind: 'truncate' | 'persist' | 'apply' | 'release' | 'compact';
      readonly share: number;
    };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      termStep: fc.nat(1),
      bytes: fc.nat(20),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'truncate' as const,
        'persist' as const,
        'apply' as const,
        'release' as const,
        'compact' as const,
      ),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
);

/** What the log should be: entries from index 1, and how far it is durable, applied, compacted. */
class Model {
  readonly storage = new MemoryLogStorage();
  readonly log: RaftLog;
  entries: LogEntry[] = [];
  persisted = 0;
  applied = 0;
  compacted = 0;

  constructor(cachedBytesMax: number) {
    this.log = new RaftLog(this.storage, { cachedBytesMax, appliedIndex: toLogIndex(0) });
  }

  apply(step: Operation): void {
    if (step.kind === 'append') {
      const term = (this.entries.at(-1)?.term ?? 1) + step.termStep;
      const added = entry(this.entries.length + 1, term, step.bytes);
      this.entries.push(added);
      this.log.append(added);
      return;
    }
    const between = (low: number, high: number): number =>
      low + Math.floor(step.share * (high - low + 0.999));
    switch (step.kind) {
      case 'truncate': {
        if (this.applied === this.entries.length) return;
        const index = between(this.applied + 1, this.entries.length);
        this.log.truncateFrom(index);
        this.entries.length = index - 1;
        this.persisted = Math.min(this.persisted, index - 1);
        return;
      }
      case 'persist': {
        if (this.persisted === this.entries.length) return;
        const index = between(this.persisted + 1, this.entries.length);
        this.storage.write({
          hardState: undefined,
          entries: this.entries.slice(this.persisted, index),
        });
        this.persisted = index;
        return;
      }
      case 'apply':
        this.applied = between(this.applied, this.persisted);
        this.log.setEvictable(toLogIndex(this.applied));
        return;
      case 'release': {
        const index = between(0, this.entries.length);
        this.log.release(toLogIndex(index));
        expect(this.log.cacheStartIndex).toBeGreaterThan(Math.min(index, this.applied));
        return;
      }
      case 'compact': {
        this.compacted = between(this.compacted, this.applied);
        const term = this.log.compact(toLogIndex(this.compacted));
        expect(term).toBe(this.entries[this.compacted - 1]?.term ?? 0);
        this.storage.compact(toLogIndex(this.compacted));
      }
    }
  }

  check(cachedBytesMax: number): void {
    const { log, entries } = this;
    expect(log.lastIndex).toBe(entries.length);
    expect(log.firstIndex).toBe(this.compacted + 1);
    expect(log.cachedAppliedBytes).toBeLessThanOrEqual(cachedBytesMax);
    for (let i = Math.max(1, this.compacted); i <= entries.length; i++)
      expect(log.term(i)).toBe(entries[i - 1]?.term);
    for (const [index, term] of [
      [entries.length, log.lastTerm],
      [entries.length + 1, toTerm(1)],
    ] as const)
      expect(log.matches(index, term)).toBe(index === entries.length);
    for (let from = this.compacted + 1; from <= entries.length; from++) {
      const slice = log.slice(from, entries.length + 1, 25);
      expect(slice.length).toBeGreaterThan(0);
      expect(slice).toEqual(entries.slice(from - 1, from - 1 + slice.length));
      const bytes = slice.reduce((sum, each) => sum + each.data.length, 0);
      if (slice.length > 1) expect(bytes).toBeLessThanOrEqual(25);
    }
    this.checkTermSearch();
  }

  private checkTermSearch(): void {
    const { log, entries } = this;
    for (let term = 0; term <= log.lastTerm + 1; term++) {
      let last = this.compacted;
      for (let i = this.compacted + 1; i <= entries.length; i++)
        if ((entries[i - 1]?.term ?? 0) <= term) last = i;
      expect(log.lastIndexWithTermAtMost(toTerm(term), entries.length)).toBe(last);
    }
    for (let i = this.compacted + 1; i <= entries.length; i++) {
      const first = entries.findIndex(
        (each, at) => at >= this.compacted && each.term === entries[i - 1]?.term,
      );
      expect(log.firstIndexOfTermAt(i, this.compacted)).toBe(first + 1);
    }
  }
}

describe('log', () => {
  test('behaves as an array does, whatever is cached, durable, applied or compacted', () => {
    const steps = fc.array(operation, { maxLength: 40 });
    fc.assert(
      fc.property(steps, fc.constantFrom(0, 10, 1000), (operations, cachedBytesMax) => {
        const model = new Model(cachedBytesMax);
        for (const step of operations) model.apply(step);
        model.check(cachedBytesMax);
      }),
      { numRuns: 200 },
    );
  });

  test('up to date: the later last term, then the longer log', () => {
    const model = new Model(100);
    model.apply({ kind: 'append', termStep: 2, bytes: 1 });
    model.apply({ kind: 'append', termStep: 0, bytes: 1 });
    const ask = (index: number, term: number): boolean =>
      model.log.isUpToDate(toLogIndex(index), toTerm(term));
    expect([ask(2, 3), ask(3, 3), ask(1, 4), ask(1, 3), ask(9, 2)]).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test('refuses what would break it', () => {
    const model = new Model(100);
    model.apply({ kind: 'append', termStep: 2, bytes: 1 });
    expect(() => model.log.append(entry(3, 3, 1))).toThrow('contiguous');
    expect(() => model.log.append(entry(2, 2, 1))).toThrow('fall');
    expect(() => model.log.term(2)).toThrow('in the log');
    expect(() => model.log.compact(toLogIndex(1))).toThrow('applied');
  });
});
