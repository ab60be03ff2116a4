/** Rows in a file, read again in the order in which they were added, in chunks. */
import { batchRows } from '../../limits.ts';
import type { Row } from '../evaluate.ts';
import type { Batches } from '../operator.ts';
import type { Pace } from '../run.ts';
import { DatumCodec } from './datum-codec.ts';
import type { RowChunk } from './row-chunks.ts';
import type { SpillFile, SpillSpace } from './spill-space.ts';

export class RowFile {
  /** How many were added. */
  rows = 0;
  private readonly space: SpillSpace;
  private readonly codec = new DatumCodec();
  private readonly chunks: RowChunk[] = [];
  private file: SpillFile | undefined;
  private full: Buffer[] = [];

  constructor(space: SpillSpace) {
    this.space = space;
  }

  /** Keeps the row in memory until `settle`. */
  add(row: Row): void {
    this.codec.encode(row);
    this.rows++;
    if (this.codec.length >= this.space.chunkBytes) this.full.push(this.codec.take());
  }

  /** Writes what is worth it, between two batches. Throws 53100, 53400, 58030. */
  async settle(): Promise<void> {
    if (this.full.length === 0) return;
    const { full } = this;
    this.full = [];
    this.file ??= await this.space.open();
    for (const bytes of full)
      this.chunks.push({ at: await this.file.append(bytes), length: bytes.length });
  }

  /** All rows; adding is over. The file goes with the last of them, or with whoever stops earlier. */
  async *drain(pace: Pace): Batches {
    try {
      for (const { at, length } of this.chunks) {
        if (this.file === undefined) break;
        yield* inPieces(this.codec.decode(this.file.read(at, length)), pace);
      }
      yield* this.unwritten(pace);
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    this.full = [];
    await this.file?.close();
  }

  private async *unwritten(pace: Pace): Batches {
    for (const bytes of this.full) yield* inPieces(this.codec.decode(bytes), pace);
    if (this.codec.length > 0) yield* inPieces(this.codec.decode(this.codec.take()), pace);
  }
}

async function* inPieces(rows: Row[], pace: Pace): Batches {
  if (pace.due()) await pace.rest();
  if (rows.length <= batchRows) {
    if (rows.length > 0) yield rows;
    return;
  }
  for (let at = 0; at < rows.length; at += batchRows) {
    yield rows.slice(at, at + batchRows);
    if (pace.due()) await pace.rest();
  }
}
