/**
 * The door of the log: locks its directory, finds or founds its files, recovers, and hands out a `SegmentedLog`.
 */
import {
  type Clock,
  ClosingSteps,
  type Disk,
  ExitCode,
  FatalError,
  fatalDiskError,
  InvariantViolation,
  type Logger,
  osPrng,
  type Prng,
  silentLogger,
} from '@flotilla/base';
import {
  decodeBatchHeader,
  decodeSegmentHeader,
  firstBatchOffset,
  sectorBytes,
  segmentNumberOf,
} from './format.ts';
import { recover } from './recovery.ts';
import { SegmentedLog } from './segmented-log.ts';
import { corrupt, loadManifest, type Manifest, Segments, storeManifest } from './segments.ts';
import type { WriteAheadLog } from './write-ahead-log.ts';

export interface WriteAheadLogOptions {
  readonly disk: Disk;
  /** Of this log alone; made if it is not there. */
  readonly directory: string;
  readonly clock: Clock;
  /** Preallocated per segment. Cruel: 4096. */
  readonly segmentBytes?: number;
  /** For the log's id and the segments' nonces; by default the operating system's. */
  readonly prng?: Prng;
  readonly logger?: Logger;
}

const defaultSegmentBytes = 64 * 1024 * 1024;

/**
 * Opens or makes a log. Resolves when everything acknowledged in an earlier life is readable and this life is on record.
 * Throws FatalError: `locked`, `walCorrupt` (with `file` and `offset` among its facts), `identityMismatch` (a segment
 * of another log), `diskFull`, `diskFailed`.
 */
export async function openWriteAheadLog(options: WriteAheadLogOptions): Promise<WriteAheadLog> {
  const { disk, directory } = options;
  await disk.makeDirectory(directory);
  const lock = await disk.lock(directory);
  if (lock === undefined)
    throw new FatalError(ExitCode.locked, `${directory} is in use by another process`, {
      directory,
    });
  const closing = new ClosingSteps();
  closing.add(() => lock.release());
  try {
    const manifest = await findManifest(options);
    const segmentBytes = options.segmentBytes ?? defaultSegmentBytes;
    const prng = options.prng ?? osPrng();
    const segments = new Segments({ disk, directory, prng, segmentBytes }, manifest);
    closing.add(() => segments.close());
    if (manifest.lastSegment < manifest.firstSegment) await segments.prepare(async () => true);
    const recovered = await recover(segments);
    const logger = options.logger ?? silentLogger;
    const { end, tornBytes, copiedBytes, closedCleanly } = recovered;
    logger.info({ ...end, tornBytes, copiedBytes, closedCleanly }, 'wal_recovered');
    return new SegmentedLog({ clock: options.clock, segments, recovered, lock });
  } catch (error) {
    const isKnown = error instanceof FatalError || error instanceof InvariantViolation;
    return closing.runAfter(
      isKnown ? error : fatalDiskError(`opening the write-ahead log in ${directory}`, error),
    );
  }
}

/** The manifest, after making it agree with the files: leftovers of a crash go, anything else that is off is refused. */
async function findManifest(options: WriteAheadLogOptions): Promise<Manifest> {
  const { disk, directory } = options;
  const manifest = await loadManifest(disk, directory);
  const found = new Map<number, string>();
  for (const name of await disk.list(directory)) {
    const number = segmentNumberOf(name);
    if (number !== undefined) found.set(number, `${directory}/${name}`);
  }
  if (manifest === undefined) return foundLog(options, [...found.values()]);
  const { firstSegment, lastSegment } = manifest;
  for (let number = firstSegment; number <= lastSegment; number++)
    if (!found.has(number))
      throw corrupt(Segments.manifestPath(directory), 0, `segment ${number} is missing`, {
        segment: number,
      });
  for (const [number, path] of found) {
    if (number >= firstSegment && number <= lastSegment) continue;
    // Above: its preparation was cut short, and nothing was written to it. Below: its removal was cut short.
    if (number > lastSegment) await refuseIfUsed(disk, path);
    await disk.remove(path);
  }
  return manifest;
}

/** The manifest comes before the first segment, naming none: segments without a manifest have lost it. */
async function foundLog(
  options: WriteAheadLogOptions,
  segmentPaths: readonly string[],
): Promise<Manifest> {
  const { disk, directory } = options;
  const [orphan] = segmentPaths;
  if (orphan !== undefined) throw corrupt(orphan, 0, 'a segment without a manifest');
  const prng = options.prng ?? osPrng();
  const logId = Uint8Array.from({ length: 16 }, () => prng.nextBelow(256));
  const manifest = { logId, firstSegment: 1, lastSegment: 0 };
  await storeManifest(disk, directory, manifest);
  return manifest;
}

/** Batches in a segment that the manifest does not name yet: the manifest is an old copy. */
async function refuseIfUsed(disk: Disk, path: string): Promise<void> {
  const file = await disk.open(path, 'existing');
  try {
    const head = file.readSync(0, Math.min(file.size(), 2 * sectorBytes));
    const decoded = decodeSegmentHeader(head);
    if (!decoded.ok) return;
    const place = { offset: firstBatchOffset, nonce: decoded.header.nonce };
    if (decodeBatchHeader(head.subarray(firstBatchOffset), place) !== undefined)
      throw corrupt(path, firstBatchOffset, 'in use, but the manifest does not name it');
  } finally {
    await file.close();
  }
}
