/**
 * Opens a data directory: takes it, makes sure that identity, log and engine belong together and are all there, and
 * only then lets a store live on it. Everything suspicious ends here, with an exit code that says what to do.
 */
import {
  ExitCode,
  FatalError,
  HybridLogicalClock,
  type Prng,
  silentLogger,
  toHex,
  toTimestamp,
} from '@flotilla/base';
import { openWriteAheadLog, type WriteAheadLog } from '@flotilla/raft';
import type { Engine } from '../engine/engine.ts';
import { maxClockOffsetMs } from '../limits.ts';
import { wholeEngine } from '../state/storage-keys.ts';
import { isOwnEngine } from './bootstrap.ts';
import { type Identity, identityPath, readIdentity, writeIdentity } from './identity.ts';
import { oldCopyError } from './old-copy.ts';
import { recoverContents } from './recovery.ts';
import { RunningStore } from './running-store.ts';
import type { Store, StoreOptions } from './store-api.ts';

/**
 * Opens the store in `options.directory`; a new one waits to be founded, an existing one takes part at once.
 * @throws FatalError: locked, identityMismatch, engineCorrupt, walCorrupt, usage, or a disk code
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { directory, disk } = options;
  await disk.makeDirectory(directory);
  const lock = await disk.lock(directory);
  if (lock === undefined)
    throw new FatalError(ExitCode.locked, `another process holds ${directory}`, { directory });
  const opened: { close(): Promise<void> }[] = [{ close: () => lock.release() }];
  try {
    const known = await readIdentity(disk, directory);
    const engine = await options.openEngine(`${directory}/engine`);
    opened.push(engine);
    const before = known ?? (await newIdentity(options, engine));
    checkIdentity(options, before, engine);
    if (before.outdated === true) throw oldCopyError(before.storeId, { directory });
    // A log without an identity would be nobody's.
    if (known === undefined) await writeIdentity(disk, directory, before);
    const wal = await openWriteAheadLog({
      disk,
      directory: `${directory}/wal`,
      clock: options.clock,
      prng: options.prng,
      logger: options.logger ?? silentLogger,
      ...(options.walSegmentBytes === undefined ? {} : { segmentBytes: options.walSegmentBytes }),
    });
    opened.push(wal);
    checkLog(options, before, wal);
    const incarnation = before.incarnation + 1;
    const { recoveredBatch } = wal;
    const identity = {
      ...before,
      incarnation,
      unconfirmed: before.unconfirmed ?? { incarnation, recoveredBatch },
    };
    // The new incarnation is on disk before the store says anything.
    await writeIdentity(disk, directory, identity);
    const hlc = new HybridLogicalClock(options.clock, {
      maxOffsetMs: maxClockOffsetMs,
      floor: toTimestamp(wal.lastCheckpoint?.hlcUpperBound ?? 0),
    });
    const contents = await recoverContents({
      identity,
      engine,
      wal,
      observe: (timestamp) => void hlc.observe(toTimestamp(timestamp)),
    });
    return new RunningStore(options, { identity, engine, wal, hlc, ...contents, lock });
  } catch (error) {
    // The reason for giving up is what counts; closing is a courtesy to tests and to a retry in this process.
    for (const each of opened.reverse()) await each.close().catch(() => {});
    throw error;
  }
}

function randomHex(prng: Prng, bytes: number): string {
  return toHex(Uint8Array.from({ length: bytes }, () => prng.nextBelow(256)));
}

async function newIdentity(options: StoreOptions, engine: Engine): Promise<Identity> {
  const { directory, disk, storeId } = options;
  const iterator = engine.iterate(wholeEngine);
  const rows = await iterator.next(1);
  await iterator.close();
  const segments = await disk.list(`${directory}/wal`);
  if (rows.length > 0 || segments.length > 0)
    throw new FatalError(
      ExitCode.identityMismatch,
      `${directory} holds data but no ${identityPath(directory)}: it cannot be told whose it is`,
      { directory },
    );
  if (storeId === undefined)
    throw new FatalError(
      ExitCode.usage,
      `${directory} is new: give the store a number of its own, --store-id`,
      {
        directory,
      },
    );
  return {
    storeId,
    storeUuid: randomHex(options.prng, 16),
    incarnation: 0,
    clusterId: undefined,
    checkpointHlc: 0,
    metaDescriptor: undefined,
  };
}

function checkIdentity(options: StoreOptions, identity: Identity, engine: Engine): void {
  const { directory, storeId } = options;
  if (storeId !== undefined && storeId !== identity.storeId)
    throw new FatalError(
      ExitCode.identityMismatch,
      `${directory} belongs to store ${identity.storeId}, not ${storeId}`,
      { directory },
    );
  if (identity.clusterId !== undefined && !isOwnEngine(engine, identity.storeUuid))
    throw new FatalError(
      ExitCode.engineCorrupt,
      `the state in ${directory}/engine is gone or another store's; rebuild this store from its peers under a new id`,
      { directory },
    );
}

function checkLog(options: StoreOptions, identity: Identity, wal: WriteAheadLog): void {
  if (identity.clusterId === undefined) return;
  const { lastCheckpoint } = wal;
  const { directory } = options;
  if (lastCheckpoint !== undefined && lastCheckpoint.hlcUpperBound >= identity.checkpointHlc)
    return;
  throw new FatalError(
    ExitCode.identityMismatch,
    `the log in ${directory}/wal is gone or older than this store; ` +
      'it could vote twice: rebuild the store from its peers under a new id',
    {
      directory,
      expected: identity.checkpointHlc,
      found: lastCheckpoint?.hlcUpperBound,
    },
  );
}
