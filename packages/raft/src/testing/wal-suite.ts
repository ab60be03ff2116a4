/**
 * What every write-ahead log must do, whatever is under it. Cases, not tests: a test file runs each on the real log over
 * each disk and on `MemoryLog`. What only files can show (damage, segments, torn tails) is in the tests of `wal/`.
 */
import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert/strict';
import { type RangeId, type Term, toLogIndex, toRangeId, toTerm } from '@flotilla/base';
import type { GroupLog, GroupWrite, WriteAheadLog } from '../wal/write-ahead-log.ts';
import { checkpointOf, compaction, describeLog, entry, hardState } from './model-log.ts';

export interface WalHost {
  /** Opens what the last log left, or a new one; the last one was closed or its process has died. */
  open(): Promise<WriteAheadLog>;
  /** The process that holds the log dies; absent where a test cannot do that. */
  die?(): void;
}

export interface WalCase {
  readonly title: string;
  run(host: WalHost): Promise<void>;
}

const r1 = toRangeId(1);
const r2 = toRangeId(2);
const nothing = { hardState: undefined, entries: [] } as const;

function write(rangeId: RangeId, from: number, to: number, term = 1): GroupWrite {
  const count = to - from + 1;
  return {
    rangeId,
    hardState: undefined,
    entries: Array.from({ length: count }, (_, i) => entry(from + i, term, `e${from + i}`)),
  };
}

function snapshot(rangeId: RangeId, index: number, term: number): GroupWrite {
  return { ...nothing, rangeId, snapshot: { index: toLogIndex(index), term: toTerm(term) } };
}

function indices(log: GroupLog, from: number, to: number, bytesMax = 1e6): number[] {
  return log.entries(toLogIndex(from), toLogIndex(to), bytesMax).map(({ index }) => index);
}

function bounds(log: GroupLog): number[] {
  return [log.firstIndex(), log.lastIndex(), log.checkpointedIndex()];
}

/** Runs `check` on the log as it is, after a clean stop, and after the death of its process. */
async function inAllLives(
  host: WalHost,
  log: WriteAheadLog,
  check: (log: WriteAheadLog) => void,
): Promise<WriteAheadLog> {
  check(log);
  const before = describeLog(log, [1, 2]);
  await log.close();
  let next = await host.open();
  check(next);
  deepStrictEqual(describeLog(next, [1, 2]), before);
  if (host.die !== undefined) {
    host.die();
    next = await host.open();
    check(next);
    deepStrictEqual(describeLog(next, [1, 2]), before);
  }
  return next;
}

export const walCases: readonly WalCase[] = [
  {
    title: 'a new log holds nothing',
    async run(host) {
      const log = await host.open();
      deepStrictEqual(log.rangeIds(), []);
      strictEqual(log.lastCheckpoint, undefined);
      strictEqual(log.closedCleanly, false);
      const group = log.group(r1);
      deepStrictEqual(bounds(group), [1, 0, 0]);
      deepStrictEqual(group.hardState(), hardState(0, 0, 0));
      strictEqual(group.term(toLogIndex(0)), 0);
      strictEqual(group.bytes(), 0);
      deepStrictEqual(group.configurations(), []);
      await log.close();
    },
  },
  {
    title: 'what was appended is there in every later life; terms and hard states too',
    async run(host) {
      const log = await host.open();
      const hard = hardState(2, 3, 1);
      await log.append([write(r1, 1, 3), { ...write(r2, 1, 2), hardState: hard }]);
      await log.append([write(r1, 4, 4, 2)]);
      const last = await inAllLives(host, log, (each) => {
        deepStrictEqual(bounds(each.group(r1)), [1, 4, 0]);
        deepStrictEqual(indices(each.group(r1), 1, 5), [1, 2, 3, 4]);
        deepStrictEqual(
          [1, 3, 4].map((i) => each.group(r1).term(toLogIndex(i))),
          [1, 1, 2],
        );
        deepStrictEqual(each.group(r2).hardState(), hard);
        deepStrictEqual(each.rangeIds(), [1, 2]);
      });
      await last.close();
    },
  },
  {
    title: 'reads give at least one entry and stop at the budget',
    async run(host) {
      const log = await host.open();
      const big = (index: number) => entry(index, 1, new Uint8Array(1000).fill(index));
      await log.append([{ ...nothing, rangeId: r1, entries: [1, 2, 3, 4].map(big) }]);
      const group = log.group(r1);
      deepStrictEqual(indices(group, 2, 5, 0), [2]);
      deepStrictEqual(indices(group, 2, 5, 2500), [2, 3]);
      throws(() => indices(group, 2, 6));
      throws(() => indices(group, 0, 2));
      throws(() => group.term(toLogIndex(5)));
      await log.close();
    },
  },
  {
    title: 'entries replace those at their place and above, of that group alone',
    async run(host) {
      const log = await host.open();
      await log.append([write(r1, 1, 5), write(r2, 1, 5)]);
      await log.append([write(r1, 3, 3, 2)]);
      const last = await inAllLives(host, log, (each) => {
        deepStrictEqual(bounds(each.group(r1)), [1, 3, 0]);
        strictEqual(each.group(r1).term(toLogIndex(3)), 2);
        deepStrictEqual(bounds(each.group(r2)), [1, 5, 0]);
      });
      await last.close();
    },
  },
  {
    title:
      'a checkpoint records flush points and compacts; never backwards, never what is not there',
    async run(host) {
      const log = await host.open();
      await log.append([write(r1, 1, 6), write(r2, 1, 2)]);
      await log.checkpoint(checkpointOf(7, { 1: 4, 2: 1 }), [compaction(1, 3, 1)]);
      // A flush that began earlier, of a group that has restarted shorter, and of one that is gone.
      await log.checkpoint(checkpointOf(8, { 1: 2, 2: 50, 9: 5 }), []);
      const last = await inAllLives(host, log, (each) => {
        deepStrictEqual(bounds(each.group(r1)), [4, 6, 4]);
        strictEqual(each.group(r1).term(toLogIndex(3)), 1);
        deepStrictEqual(bounds(each.group(r2)), [1, 2, 1]);
        deepStrictEqual(each.lastCheckpoint, checkpointOf(8, { 1: 4, 2: 1 }));
      });
      await last.close();
    },
  },
  {
    title: 'a group that began while others were flushed stays where it began',
    async run(host) {
      const log = await host.open();
      await log.append([write(r1, 1, 6)]);
      await log.checkpoint(checkpointOf(7, { 1: 4 }), []);
      await log.append([snapshot(r2, 1, 1)]);
      await log.append([write(r2, 2, 3)]);
      await log.checkpoint(checkpointOf(8, { 1: 5 }), [compaction(1, 4, 1)]);
      const last = await inAllLives(host, log, (each) => {
        deepStrictEqual(each.lastCheckpoint, checkpointOf(8, { 1: 5, 2: 1 }));
        deepStrictEqual(bounds(each.group(r2)), [2, 3, 1]);
      });
      await last.close();
    },
  },
  {
    title: 'configurations follow appends, truncation and compaction',
    async run(host) {
      const log = await host.open();
      const configuration = (index: number, term: number) => ({
        ...nothing,
        rangeId: r1,
        entries: [entry(index, term, `c${index}`, 'configuration')],
      });
      await log.append([configuration(1, 1), write(r1, 2, 2), configuration(3, 1)]);
      await log.append([write(r1, 4, 4), configuration(5, 1)]);
      const held = (each: WriteAheadLog) => each.group(r1).configurations();
      deepStrictEqual(
        held(log),
        [1, 3, 5].map((i) => configuration(i, 1).entries[0]),
      );
      const before = held(log);
      await log.append([configuration(4, 2)]); // truncates 5
      strictEqual(before.length, 3, 'what was returned stays');
      await log.checkpoint(checkpointOf(1, { 1: 2 }), [compaction(1, 2, 1)]);
      const last = await inAllLives(host, log, (each) =>
        deepStrictEqual(held(each), [
          configuration(3, 1).entries[0],
          configuration(4, 2).entries[0],
        ]),
      );
      await last.close();
    },
  },
  {
    title: 'an installed snapshot ends the log unless it holds exactly that entry',
    async run(host) {
      const log = await host.open();
      const tail = { ...write(r1, 1, 5), entries: write(r1, 1, 5).entries };
      await log.append([tail, write(r2, 1, 5)]);
      await log.checkpoint(checkpointOf(3, { 1: 1, 2: 1 }), []);
      await log.append([snapshot(r1, 3, 1), snapshot(r2, 3, 2)]);
      const last = await inAllLives(host, log, (each) => {
        deepStrictEqual(bounds(each.group(r1)), [4, 5, 3]);
        deepStrictEqual(indices(each.group(r1), 4, 6), [4, 5]);
        deepStrictEqual(bounds(each.group(r2)), [4, 3, 3]);
        strictEqual(each.group(r2).term(toLogIndex(3)), 2);
        strictEqual(each.group(r2).bytes(), 0);
        deepStrictEqual(each.lastCheckpoint, checkpointOf(3, { 1: 3, 2: 3 }));
      });
      await last.append([write(r2, 4, 4, 2)]);
      await last.close();
    },
  },
  {
    title:
      'a snapshot comes with what follows it, whole or not at all, and after what came before it in the batch',
    async run(host) {
      const log = await host.open();
      const above = {
        ...snapshot(r1, 20, 3),
        hardState: hardState(3, 1, 20),
        entries: [entry(21, 3, 'c', 'configuration')],
      };
      await log.append([write(r1, 1, 2), above]);
      await log.append([write(r2, 1, 4), snapshot(r2, 3, 1), write(r2, 5, 5)]);
      const last = await inAllLives(host, log, (each) => {
        deepStrictEqual(bounds(each.group(r1)), [21, 21, 20]);
        deepStrictEqual(each.group(r1).hardState(), hardState(3, 1, 20));
        strictEqual(each.group(r1).configurations().length, 1);
        deepStrictEqual(bounds(each.group(r2)), [4, 5, 3]);
      });
      await last.close();
    },
  },
  {
    title: 'a snapshot below what is compacted is refused',
    async run(host) {
      const log = await host.open();
      await log.append([snapshot(r1, 9, 2)]);
      await rejects(log.append([snapshot(r1, 8, 2)]));
      await log.close();
    },
  },
  {
    title: 'a removed group is forgotten and can be made anew',
    async run(host) {
      const log = await host.open();
      await log.append([{ ...write(r1, 1, 3), hardState: hardState(5, 2, 3) }, write(r2, 1, 1)]);
      await log.checkpoint(checkpointOf(4, { 1: 3, 2: 1 }), [compaction(1, 2, 1)]);
      await log.append([{ ...nothing, rangeId: r1, removed: true }]);
      deepStrictEqual(log.rangeIds(), [2]);
      const term: Term = log.group(r2).term(toLogIndex(1));
      strictEqual(term, 1);
      const next = await inAllLives(host, log, (each) => {
        deepStrictEqual(each.lastCheckpoint, checkpointOf(4, { 2: 1 }));
        deepStrictEqual(bounds(each.group(r1)), [1, 0, 0]);
        deepStrictEqual(each.group(r1).hardState(), hardState(0, 0, 0));
      });
      await next.append([{ ...nothing, rangeId: r1, removed: true }, snapshot(r1, 30, 6)]);
      const last = await inAllLives(host, next, (each) =>
        deepStrictEqual(bounds(each.group(r1)), [31, 30, 30]),
      );
      await last.close();
    },
  },
  {
    title: 'bytes are those of the entries that are held',
    async run(host) {
      const log = await host.open();
      await log.append([{ ...nothing, rangeId: r1, entries: [entry(1, 1, new Uint8Array(500))] }]);
      const one = log.group(r1).bytes();
      ok(one >= 500 && one < 700);
      await log.append([{ ...nothing, rangeId: r1, entries: [entry(2, 1, new Uint8Array(500))] }]);
      strictEqual(log.group(r1).bytes(), 2 * one);
      await log.append([{ ...nothing, rangeId: r1, entries: [entry(2, 2, new Uint8Array(500))] }]);
      strictEqual(log.group(r1).bytes(), 2 * one);
      await log.checkpoint(checkpointOf(1, { 1: 1 }), [compaction(1, 1, 1)]);
      const last = await inAllLives(host, log, (each) => strictEqual(each.group(r1).bytes(), one));
      await last.close();
    },
  },
  {
    title: 'entries that leave a gap, or touch what is compacted, are refused',
    async run(host) {
      const log = await host.open();
      await log.append([write(r1, 1, 3)]);
      await rejects(log.append([write(r1, 5, 5)]));
      await log.close();
    },
  },
];
