/** Batches of rows in a file, each read as often as is wanted. */
import type { Row } from '../evaluate.ts';
import { DatumCodec } from './datum-codec.ts';
import type { SpillFile, SpillSpace } from './spill-space.ts';

/** Where a batch is. */
export interface RowChunk {
  readonly at: number;
  readonly length: number;
}

export class RowChunks {
  private readonly space: SpillSpace;
  private readonly codec = new DatumCodec();
  private file: SpillFile | undefined;

  constructor(space: SpillSpace) {
    this.space = space;
  }

  /** One call at a time. Throws 53100, 53400, 58030. */
  async write(rows: readonly Row[]): Promise<RowChunk> {
    for (const row of rows) this.codec.encode(row);
    const bytes = this.codec.take();
    this.file ??= await this.space.open();
    return { at: await this.file.append(bytes), length: bytes.length };
  }

  /** Throws 58030. */
  read({ at, length }: RowChunk): Row[] {
    if (this.file === undefined) throw new RangeError('the chunk was written here');
    return this.codec.decode(this.file.read(at, length));
  }

  async close(): Promise<void> {
    await this.file?.close();
  }
}
