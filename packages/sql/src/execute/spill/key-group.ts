/**
 * Rows of one key of a merge join, gone through as often as the other side has rows with that key. What memory has no room for is
 * in a file, in chunks.
 */
import type { Row } from '../evaluate.ts';
import { type Run, rowBytes } from '../run.ts';
import { type RowChunk, RowChunks } from './row-chunks.ts';
import { canSpill, Holding, spaceOf } from './spilling.ts';

export class KeyGroup {
  private readonly run: Run;
  private readonly holding: Holding;
  private held: Row[] = [];
  private written: RowChunk[] = [];
  private file: RowChunks | undefined;
  /** How many were added since `clear`. */
  private count = 0;

  constructor(run: Run) {
    this.run = run;
    this.holding = new Holding(run.memory);
  }

  /** The group's row, if it has one alone. */
  get only(): Row | undefined {
    return this.count === 1 ? this.held[0] : undefined;
  }

  /** @returns true: `settle` has to be called */
  add(row: Row): boolean {
    this.held.push(row);
    this.count++;
    // A single row is in memory anyway.
    if (this.count === 1) return false;
    let fits = this.count > 2 || this.holding.take(rowBytes(this.held[0] ?? []));
    fits = this.holding.take(rowBytes(row)) && fits;
    if (this.file === undefined) return !fits;
    return this.holding.bytes >= spaceOf(this.run).chunkBytes;
  }

  /** Writes what there is too much of. Throws 53100, 53200, 53400, 58030. */
  async settle(): Promise<void> {
    const { run, holding } = this;
    if (this.file === undefined) {
      if (this.count < 2 || run.memory.hasRoom || !canSpill(run, holding.bytes)) return;
      this.file = new RowChunks(spaceOf(run));
    }
    const { chunkBytes } = spaceOf(run);
    if (holding.bytes < chunkBytes) return;
    const rows = this.held;
    this.held = [];
    let chunk: Row[] = [];
    let bytes = 0;
    for (const row of rows) {
      chunk.push(row);
      bytes += rowBytes(row);
      if (bytes < chunkBytes) continue;
      this.written.push(await this.file.write(chunk));
      chunk = [];
      bytes = 0;
    }
    if (chunk.length > 0) this.written.push(await this.file.write(chunk));
    holding.release();
  }

  /** One for each row, counted like the rows. Throws 53200. */
  flags(): Uint8Array {
    this.holding.add(this.count);
    return new Uint8Array(this.count);
  }

  /** The rows, in the order in which they came. Throws 58030. */
  parts(): Iterable<readonly Row[]> {
    return this.file === undefined ? [this.held] : this.read(this.file);
  }

  private *read(file: RowChunks): Iterable<readonly Row[]> {
    for (const chunk of this.written) yield file.read(chunk);
    if (this.held.length > 0) yield this.held;
  }

  /** Ready for the next key. @returns undefined: at once */
  clear(): Promise<void> | undefined {
    const { file } = this;
    this.held.length = 0;
    this.count = 0;
    if (this.holding.bytes > 0) this.holding.release();
    if (file === undefined) return undefined;
    this.file = undefined;
    this.written = [];
    return file.close();
  }
}
