/**
 * The segment files of one log: made in advance, read, counted, dropped. And the manifest, a small file that says which
 * segments there must be, so that a lost one is missed. Knows nothing of batches.
 *
 *   manifest: u32 magic | u32 version | 16 bytes log id | f64 first segment | f64 last prepared segment | u32 CRC-32C
 */
import {
  assert,
  crc32c,
  type Disk,
  type DiskFile,
  ExitCode,
  equalBytes,
  FatalError,
  type Prng,
  type RangeId,
} from '@flotilla/base';
import type { LogEntry } from '../messages.ts';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  formatVersion,
  refuseVersion,
  sectorBytes,
  segmentFileName,
  viewOf,
} from './format.ts';
import type { SegmentStore } from './group-state.ts';
import { readEntry } from './records.ts';

const manifestMagic = 0x464d_4c46; // "FLMF"
const manifestBytes = 44;
/** Zeros are written in pieces of this size: a large write would hold up the batches beside it. */
const preallocationPieceBytes = 1024 * 1024;
/** Records of one group that lie closer than this are read in one go, other groups' records between them included. */
const readGapBytesMax = 16 * 1024;
const readSpanBytesMax = 1024 * 1024;

export interface Manifest {
  readonly logId: Uint8Array;
  /** No older segment is needed. */
  readonly firstSegment: number;
  /** It and all between exist and have a durable header. */
  readonly lastSegment: number;
}

export interface Segment {
  readonly path: string;
  readonly number: number;
  readonly nonce: number;
  readonly capacity: number;
  /** Of the format. */
  readonly version: number;
  readonly file: DiskFile;
  liveEntries: number;
  liveBytes: number;
}

export function corrupt(
  path: string,
  offset: number,
  what: string,
  facts: Readonly<Record<string, unknown>> = {},
): FatalError {
  return new FatalError(ExitCode.walCorrupt, `write-ahead log: ${path} at ${offset}: ${what}`, {
    file: path,
    offset,
    ...facts,
  });
}

export interface SegmentsOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly prng: Prng;
  readonly segmentBytes: number;
}

export class Segments implements SegmentStore {
  private readonly options: SegmentsOptions;
  private readonly segments = new Map<number, Segment>();
  private manifest: Manifest;

  constructor(options: SegmentsOptions, manifest: Manifest) {
    this.options = options;
    this.manifest = manifest;
  }

  static manifestPath(directory: string): string {
    return `${directory}/MANIFEST`;
  }

  get firstNumber(): number {
    return this.manifest.firstSegment;
  }
  get lastNumber(): number {
    return this.manifest.lastSegment;
  }
  get segmentBytes(): number {
    return this.options.segmentBytes;
  }

  get(number: number): Segment {
    const segment = this.segments.get(number);
    assert(segment !== undefined, 'segment is live', { number });
    return segment;
  }

  sizeBytes(): number {
    let bytes = 0;
    for (const segment of this.segments.values()) bytes += segment.file.size();
    return bytes;
  }

  /** Of those in the table; the manifest follows a little later. */
  get oldestNumber(): number {
    return Math.min(...this.segments.keys());
  }

  /** Writes it again: what can be read of it may be in the page cache only. */
  secureManifest(): Promise<void> {
    return this.writeManifest(() => this.manifest);
  }

  /** Opens a segment that the manifest names. */
  async open(number: number): Promise<Segment> {
    const path = `${this.options.directory}/${segmentFileName(number)}`;
    const file = await this.options.disk.open(path, 'existing');
    const head = file.readSync(0, Math.min(sectorBytes, file.size()));
    const decoded = decodeSegmentHeader(head);
    if (!decoded.ok) {
      await file.close();
      throw corrupt(path, 0, decoded.reason);
    }
    const { header } = decoded;
    if (!equalBytes(header.logId, this.manifest.logId)) {
      await file.close();
      throw new FatalError(
        ExitCode.identityMismatch,
        `write-ahead log: ${path} belongs to another log`,
        { file: path },
      );
    }
    if (header.number !== number) {
      await file.close();
      throw corrupt(path, 0, `holds segment ${header.number}`);
    }
    // It was preallocated and synced before it was named anywhere: nothing of ours makes it shorter.
    if (file.size() < header.capacity) {
      await file.close();
      throw corrupt(path, file.size(), `cut short; it was made with ${header.capacity} bytes`);
    }
    const { nonce, capacity, version } = header;
    return this.keep({ path, number, file, nonce, capacity, version });
  }

  /**
   * Makes the next segment: zeros, header, sync, name, manifest. May run beside appends to the current one.
   * @param pace asked before every piece, with the bytes written so far; false = give up and leave no trace
   * @returns undefined if it gave up
   */
  async prepare(
    pace: (doneBytes: number) => Promise<boolean>,
    segmentBytes: number = this.options.segmentBytes,
  ): Promise<Segment | undefined> {
    const { disk, directory, prng } = this.options;
    const number = this.manifest.lastSegment + 1;
    const path = `${directory}/${segmentFileName(number)}`;
    const nonce = prng.nextUint32();
    const file = await disk.open(path, 'create');
    const zeros = new Uint8Array(Math.min(preallocationPieceBytes, segmentBytes));
    for (let at = 0; at < segmentBytes; at += zeros.length) {
      if (!(await pace(at))) {
        await file.close();
        await disk.remove(path);
        return undefined;
      }
      const piece = Math.min(zeros.length, segmentBytes - at);
      await file.write(at, zeros.subarray(0, piece));
      // Piece by piece, so that the file system never has 64 MiB to write when a batch wants its sync.
      await file.datasync();
    }
    const { logId } = this.manifest;
    await file.write(0, encodeSegmentHeader({ logId, number, nonce, capacity: segmentBytes }));
    await file.datasync();
    await disk.syncDirectory(directory);
    await this.writeManifest(() => ({ ...this.manifest, lastSegment: number }));
    const version = formatVersion;
    return this.keep({ path, number, file, nonce, capacity: segmentBytes, version });
  }

  /** The oldest segments that nothing needs, below `current`, leave the table; the caller removes their files. */
  takeUnneeded(current: number): Segment[] {
    const taken: Segment[] = [];
    for (const segment of [...this.segments.values()].sort((a, b) => a.number - b.number)) {
      if (segment.number >= current || segment.liveEntries > 0) break;
      this.segments.delete(segment.number);
      taken.push(segment);
    }
    return taken;
  }

  /** The manifest first: a crash in between leaves files that the next opening removes. */
  async remove(segments: readonly Segment[]): Promise<void> {
    const last = segments[segments.length - 1];
    if (last === undefined) return;
    await this.writeManifest(() => ({ ...this.manifest, firstSegment: last.number + 1 }));
    for (const segment of segments) {
      await segment.file.close();
      await this.options.disk.remove(segment.path);
    }
  }

  async close(): Promise<void> {
    for (const segment of this.segments.values()) await segment.file.close();
  }

  // ---- SegmentStore

  readEntries(
    rangeId: RangeId,
    number: number,
    places: readonly { readonly offset: number; readonly length: number }[],
  ): LogEntry[] {
    const segment = this.get(number);
    const found: LogEntry[] = [];
    for (let i = 0; i < places.length; ) {
      const start = places[i]?.offset ?? 0;
      let end = start;
      let after = i;
      for (; after < places.length; after++) {
        const place = places[after];
        if (place === undefined) break;
        const inReach = place.offset >= end && place.offset - end <= readGapBytesMax;
        if (after > i && (!inReach || place.offset + place.length - start > readSpanBytesMax))
          break;
        end = place.offset + place.length;
      }
      const span = segment.file.readSync(start, end - start);
      for (; i < after; i++) {
        const place = places[i];
        if (place === undefined) break;
        const at = place.offset - start;
        const entry = readEntry(span.subarray(at, at + place.length), segment.nonce, rangeId);
        if (entry === undefined)
          throw corrupt(segment.path, place.offset, 'an entry fails its CRC', { range: rangeId });
        found.push(entry);
      }
    }
    return found;
  }

  addLive(number: number, count: number, bytes: number): void {
    const segment = this.get(number);
    segment.liveEntries += count;
    segment.liveBytes += bytes;
    assert(segment.liveEntries >= 0, 'live entries are counted', { segment: number });
  }

  // ---- inside

  private keep(segment: Omit<Segment, 'liveEntries' | 'liveBytes'>): Segment {
    const kept = { ...segment, liveEntries: 0, liveBytes: 0 };
    this.segments.set(segment.number, kept);
    return kept;
  }

  /** One at a time: preparation and removal run side by side. */
  private manifestTurn: Promise<void> = Promise.resolve();
  private writeManifest(next: () => Manifest): Promise<void> {
    const mine = this.manifestTurn.then(async () => {
      const manifest = next();
      await storeManifest(this.options.disk, this.options.directory, manifest);
      this.manifest = manifest;
    });
    this.manifestTurn = mine.catch(() => {}); // its own caller hears of the failure
    return mine;
  }
}

export async function storeManifest(
  disk: Disk,
  directory: string,
  manifest: Manifest,
): Promise<void> {
  const bytes = new Uint8Array(manifestBytes);
  const view = viewOf(bytes);
  view.setUint32(0, manifestMagic, true);
  view.setUint32(4, formatVersion, true);
  bytes.set(manifest.logId, 8);
  view.setFloat64(24, manifest.firstSegment, true);
  view.setFloat64(32, manifest.lastSegment, true);
  view.setUint32(40, crc32c(bytes.subarray(0, 40)), true);
  await disk.replaceFile(Segments.manifestPath(directory), bytes);
}

/** Undefined if there is none. Throws FatalError if it is damaged or of another format. */
export async function loadManifest(disk: Disk, directory: string): Promise<Manifest | undefined> {
  const path = Segments.manifestPath(directory);
  const bytes = await disk.readFile(path);
  if (bytes === undefined) return undefined;
  if (bytes.length !== manifestBytes) throw corrupt(path, 0, 'manifest has a wrong length');
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== manifestMagic) throw corrupt(path, 0, 'not a manifest');
  if (view.getUint32(40, true) !== crc32c(bytes.subarray(0, 40)))
    throw corrupt(path, 0, 'manifest fails its CRC');
  const version = view.getUint32(4, true);
  const strange = refuseVersion(version);
  if (strange !== undefined) throw corrupt(path, 0, strange);
  return {
    logId: bytes.slice(8, 24),
    firstSegment: view.getFloat64(24, true),
    lastSegment: view.getFloat64(32, true),
  };
}
