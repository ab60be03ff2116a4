/**
 * What a scan reads, told while it reads: a scan of a million rows is one request and not one request's work, and where it
 * begins says nothing of where its rows lie. Fed row by row; costs an addition or two.
 */

/** @param key of one of these rows */
export type NoteRows = (rows: number, bytes: number, key: Uint8Array) => void;

export const rowsPerNote = 256;

export class ScanWork {
  private readonly place: number;
  private readonly note: NoteRows;
  private rows = 0;
  private bytes = 0;
  private key: Uint8Array | undefined;

  /** @param place from 0, below `rowsPerNote`: of the row among so many whose key is told */
  constructor(place: number, note: NoteRows) {
    this.place = place;
    this.note = note;
  }

  add(key: Uint8Array, bytes: number): void {
    const rows = ++this.rows;
    this.bytes += bytes;
    // If it ends before the place, the last power of two: one of the second half.
    if (rows - 1 === this.place || (rows <= this.place && (rows & (rows - 1)) === 0))
      this.key = key;
    if (rows >= rowsPerNote) this.end();
  }

  /** There are no more rows, for now. */
  end(): void {
    if (this.key !== undefined) this.note(this.rows, this.bytes, this.key);
    this.rows = 0;
    this.bytes = 0;
    this.key = undefined;
  }
}
