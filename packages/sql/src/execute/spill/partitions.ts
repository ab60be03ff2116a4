/** Rows by hash of their key, a file for each part: rows with one key are in one part, and a part is a fraction of all. */
import type { Row } from '../evaluate.ts';
import type { HashKey } from '../hash-key.ts';
import type { Batches } from '../operator.ts';
import type { Run } from '../run.ts';
import { RowFile } from './row-file.ts';
import { spaceOf } from './spilling.ts';

export const partitionCount = 32;

export class Partitions {
  private readonly run: Run;
  private readonly level: number;
  private readonly files: readonly RowFile[];

  /** @param level how often the rows were parted before: each time by another hash */
  constructor(run: Run, level: number) {
    this.run = run;
    this.level = level;
    this.files = Array.from({ length: partitionCount }, () => new RowFile(spaceOf(run)));
  }

  /** Keeps some of them in memory until `settle`. @param key undefined: of no key, in some part */
  add(key: HashKey | undefined, row: Row): void {
    this.files[key === undefined ? 0 : partOf(key, this.level)]?.add(row);
  }

  /** Between two batches. Throws 53100, 53400, 58030. */
  async settle(): Promise<void> {
    for (const file of this.files) await file.settle();
  }

  rowsIn(part: number): number {
    return this.files[part]?.rows ?? 0;
  }

  /** The rows of a part, in the order in which they came, once. */
  drain(part: number): Batches {
    return (this.files[part] ?? new RowFile(spaceOf(this.run))).drain(this.run.pace);
  }

  async close(): Promise<void> {
    for (const file of this.files) await file.close();
  }
}

/** FNV-1a, begun anew for each level. */
function partOf(key: HashKey, level: number): number {
  const text = typeof key === 'string' ? key : String(key);
  let hash = (0x811c9dc5 ^ Math.imul(level + 1, 0x9e3779b1)) >>> 0;
  for (let i = 0; i < text.length; i++)
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) >>> 0;
  return ((hash ^ (hash >>> 13)) >>> 0) % partitionCount;
}
