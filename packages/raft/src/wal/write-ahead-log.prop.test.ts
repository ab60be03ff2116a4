import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  type Clock,
  type Disk,
  ExitCode,
  type LogIndex,
  NodeDisk,
  SeededPrng,
  SystemClock,
  type Term,
  toLogIndex,
  toRangeId,
  toTerm,
} from '@flotilla/base';
import { ManualClock, MemoryDisk } from '@flotilla/base/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkpointOf,
  compaction,
  describeLog,
  entry,
  hardState,
  ModelLog,
  settle,
} from '../testing/model-log.ts';
import { openWriteAheadLog } from './open-write-ahead-log.ts';
import type { Checkpoint, GroupCompaction, GroupWrite, WriteAheadLog } from './write-ahead-log.ts';

const rangeIds = [1, 2, 3, 7];

interface WriteShape {
  readonly range: number;
  /** How many entries at the end are replaced. */
  readonly back: number;
  readonly count: number;
  readonly bytes: number;
  readonly hard: boolean;
  /** Every so many entries one is a configuration; 0 = none. */
  readonly configurationEvery: number;
  /** Before the entries: a snapshot that many entries before or after the end of the log, or the end of the group. */
  readonly snapshotAt: number | undefined;
  readonly sameTerm: boolean;
  readonly removed: boolean;
}

type Step =
  | { readonly kind: 'append' | 'appendAndCrash'; readonly writes: readonly WriteShape[] }
  | { readonly kind: 'checkpoint'; readonly share: number; readonly only: number | undefined }
  | { readonly kind: 'checkpointAndCrash'; readonly share: number; readonly only: undefined }
  | { readonly kind: 'jump'; readonly range: number; readonly by: number }
  /** A write or sync fails and the process ends, as do the next ones while they open the log. */
  | {
      readonly kind: 'fail';
      readonly call: 'write' | 'sync';
      readonly writes: readonly WriteShape[];
      readonly checkpoint: boolean;
      readonly powerLoss: boolean;
      /** Calls that each opening gets done. */
      readonly openings: readonly number[];
    }
  | { readonly kind: 'reopen' | 'crash' | 'kill' | 'idle' };

const write = fc.record<WriteShape>({
  range: fc.constantFrom(...rangeIds),
  back: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(5) }),
  count: fc.nat(6),
  bytes: fc.oneof(
    { weight: 8, arbitrary: fc.nat(150) },
    { weight: 1, arbitrary: fc.integer({ min: 400, max: 6000 }) },
  ),
  hard: fc.boolean(),
  configurationEvery: fc.nat(3),
  snapshotAt: fc.oneof(
    { weight: 12, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.integer({ min: -4, max: 4 }) },
  ),
  sameTerm: fc.boolean(),
  removed: fc.oneof(
    { weight: 20, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
});
const writes = fc.array(write, { minLength: 1, maxLength: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: fc.record({ kind: fc.constant('append' as const), writes }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('appendAndCrash' as const), writes }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('checkpoint' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      only: fc.option(fc.constantFrom(...rangeIds), { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('checkpointAndCrash' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      only: fc.constant(undefined),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('jump' as const),
      range: fc.constantFrom(...rangeIds),
      by: fc.nat(9),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('fail' as const),
      call: fc.constantFrom<'write' | 'sync'>('write', 'sync', 'sync'),
      writes,
      checkpoint: fc.boolean(),
      powerLoss: fc.boolean(),
      openings: fc.array(fc.nat(9), { maxLength: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom<'reopen' | 'crash' | 'kill' | 'idle'>(
        'reopen',
        'crash',
        'kill',
        'idle',
      ),
    }),
  },
);

/** Makes writes that fit the model as it is; the model is changed in step. */
function materialize(model: ModelLog, shapes: readonly WriteShape[]): GroupWrite[] {
  return shapes.flatMap((shape) => {
    const { range, back, count, bytes, hard, configurationEvery: every, snapshotAt } = shape;
    const rangeId = toRangeId(range);
    const made: GroupWrite[] = [];
    if (shape.removed) made.push({ rangeId, hardState: undefined, entries: [], removed: true });
    model.append(made);
    const written = model.copy();
    let snapshot: { index: LogIndex; term: Term } | undefined;
    if (snapshotAt !== undefined) {
      const [last, compacted] = [model.last(rangeId), model.compacted(rangeId)];
      // A snapshot holds at least one entry, and a state machine does not go back behind what it has saved.
      const index = Math.max(1, compacted, model.checkpointedIndex(rangeId), last + snapshotAt);
      const term = model.term(rangeId, Math.min(last, index)) + (shape.sameTerm ? 0 : 1);
      snapshot = { index: toLogIndex(index), term: toTerm(term) };
      written.append([{ rangeId, snapshot, hardState: undefined, entries: [] }]);
    }
    const kept = Math.max(written.compacted(rangeId), written.last(rangeId) - back);
    const term = written.term(rangeId, written.last(rangeId)) + (back > 0 ? 1 : 0);
    const write: GroupWrite = {
      rangeId,
      snapshot,
      hardState: hard ? hardState(term, 1 + (count % 3), kept) : undefined,
      entries: Array.from({ length: count }, (_, i) => {
        const kind = every > 0 && i % every === 0 ? 'configuration' : 'command';
        return entry(kept + 1 + i, term, new Uint8Array(bytes).fill(kept + i), kind);
      }),
    };
    model.append([write]);
    return [...made, write];
  });
}

function compactionsFor(
  model: ModelLog,
  share: number,
  only: number | undefined,
): { checkpoint: Checkpoint; compactions: GroupCompaction[] } {
  const compactions: GroupCompaction[] = [];
  const applied: Record<number, number> = {};
  for (const id of rangeIds) {
    const rangeId = toRangeId(id);
    const from = model.compacted(rangeId);
    const to = from + Math.floor(share * (model.last(rangeId) - from));
    applied[id] = to;
    if (only !== undefined && only !== id) continue;
    if (to > from) compactions.push(compaction(id, to, model.term(rangeId, to)));
  }
  return { checkpoint: checkpointOf(share * 1000, applied), compactions };
}

interface World {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly directory: string;
  readonly seed: number;
  /** Absent where the disk cannot lose anything. */
  readonly memory?: MemoryDisk;
  readonly manual?: ManualClock;
}

async function runSteps(world: World, steps: readonly Step[]): Promise<void> {
  const { disk, clock, directory, memory, manual } = world;
  let lives = 0;
  const open = (): Promise<WriteAheadLog> =>
    openWriteAheadLog({
      disk: memory === undefined ? disk : memory.session(),
      clock,
      directory,
      segmentBytes: 4096,
      prng: new SeededPrng(world.seed, lives++),
    });
  let log = await open();
  let model = new ModelLog();
  // Also makes all groups known to both.
  const expectSame = (): void =>
    expect(describeLog(log, rangeIds)).toEqual(model.describe(rangeIds));
  expectSame();
  /** What was told of the log is found again, in this life and in all later ones. */
  let told = 0;
  const reopen = async (): Promise<void> => {
    told = Math.max(told, log.durableBatch());
    log = await open();
    expect(log.recoveredBatch).toBeGreaterThanOrEqual(told);
    expect(log.durableBatch()).toBeGreaterThanOrEqual(log.recoveredBatch);
  };
  const die = async (crash: boolean): Promise<void> => {
    if (crash) memory?.crash();
    else memory?.kill();
    await reopen();
    expect(log.closedCleanly).toBe(false);
  };
  const dieDuring = async (work: Promise<void>, after: ModelLog, ticks: number) => {
    // A dead process hears nothing any more; what its leftovers run into (files of an ended life) is no verdict.
    let failure: unknown;
    work.catch((error: unknown) => {
      failure = error;
    });
    for (let i = 0; i < ticks; i++) await Promise.resolve();
    expect(failure).toBeUndefined();
    await die(true);
    adopt(after);
  };
  const adopt = (after: ModelLog): void => {
    const found = describeLog(log, rangeIds);
    if (isDeepStrictEqual(found, after.describe(rangeIds))) model = after;
    else expect(found).toEqual(model.describe(rangeIds));
  };
  for (const [i, each] of steps.entries()) {
    switch (each.kind) {
      case 'append': {
        await log.append(materialize(model, each.writes));
        break;
      }
      case 'appendAndCrash': {
        if (memory === undefined) break;
        const after = model.copy();
        const batch = materialize(after, each.writes);
        await dieDuring(log.append(batch), after, (i * 7) % 9);
        break;
      }
      case 'checkpoint': {
        const { checkpoint, compactions } = compactionsFor(model, each.share, each.only);
        await log.checkpoint(checkpoint, compactions);
        model.checkpoint(checkpoint, compactions);
        break;
      }
      case 'checkpointAndCrash': {
        if (memory === undefined) break;
        const after = model.copy();
        const { checkpoint, compactions } = compactionsFor(model, each.share, each.only);
        after.checkpoint(checkpoint, compactions);
        await dieDuring(log.checkpoint(checkpoint, compactions), after, (i * 5) % 11);
        break;
      }
      case 'jump': {
        // A snapshot was installed: the log starts anew above what it had.
        const rangeId = toRangeId(each.range);
        const to = model.last(rangeId) + each.by;
        const compactions = [compaction(each.range, to, model.term(rangeId, model.last(rangeId)))];
        const checkpoint = checkpointOf(i, { [each.range]: to });
        await log.checkpoint(checkpoint, compactions);
        model.checkpoint(checkpoint, compactions);
        break;
      }
      case 'fail': {
        if (memory === undefined) break;
        const after = model.copy();
        let work: Promise<void>;
        memory.failNext(each.call, 'EIO');
        if (each.checkpoint) {
          const { checkpoint, compactions } = compactionsFor(model, 0.5, undefined);
          after.checkpoint(checkpoint, compactions);
          work = log.checkpoint(checkpoint, compactions);
        } else work = log.append(materialize(after, each.writes));
        // Or the preparation of the next segment hears of it, and the log ends at the next call.
        await work.then(
          () => {
            model = after;
          },
          (error: unknown) => expect(error).toMatchObject({ exitCode: ExitCode.diskFailed }),
        );
        for (const calls of each.openings) {
          memory.kill();
          memory.failNext(each.call, 'EIO', calls);
          await open().catch((error: unknown) =>
            expect(error).toMatchObject({ exitCode: ExitCode.diskFailed }),
          );
        }
        await die(each.powerLoss);
        adopt(after);
        break;
      }
      case 'reopen':
        await log.close();
        await reopen();
        expect(log.closedCleanly).toBe(true);
        break;
      case 'crash':
      case 'kill':
        if (memory !== undefined) await die(each.kind === 'crash');
        break;
      case 'idle':
        manual?.advance(60);
        await settle();
        break;
    }
    expectSame();
  }
  await log.close();
  await reopen();
  expect(log.closedCleanly).toBe(true);
  expectSame();
  await log.close();
}

describe('write-ahead log against a naive model', () => {
  it('holds what was acknowledged, on a disk that forgets, tears and garbles', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(), async (steps, seed) => {
        const manual = new ManualClock();
        const memory = new MemoryDisk({ prng: new SeededPrng(seed) });
        await runSteps(
          { disk: memory, memory, clock: manual, manual, directory: 'wal', seed },
          steps,
        );
      }),
      { numRuns: 120 },
    );
  });

  it('does the same on the operating system', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.nat(), async (steps, seed) => {
        const directory = await mkdtemp(path.join(tmpdir(), 'flotilla-wal-'));
        try {
          await runSteps(
            { disk: new NodeDisk(), clock: new SystemClock(), directory, seed },
            steps,
          );
        } finally {
          await rm(directory, { recursive: true });
        }
      }),
      { numRuns: 10 },
    );
  });
});
