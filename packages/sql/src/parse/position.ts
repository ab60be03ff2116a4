/**
 * Places in a source text. The grammar counts UTF-8 bytes from 0, PostgreSQL's error field counts characters from 1,
 * JavaScript counts UTF-16 units.
 */

export class SourceText {
  readonly text: string;
  private readonly ascii: boolean;
  private bytes: Buffer | undefined;

  constructor(text: string) {
    this.text = text;
    this.ascii = Buffer.byteLength(text, 'utf8') === text.length;
  }

  /** The P field of an error for a byte offset of the grammar; undefined where it gave none. */
  position(byteOffset: number | undefined): number | undefined {
    if (byteOffset === undefined || byteOffset < 0) return undefined;
    if (this.ascii) return byteOffset + 1;
    let characters = 0;
    for (const byte of this.utf8().subarray(0, byteOffset))
      if ((byte & 0xc0) !== 0x80) characters++;
    return characters + 1;
  }

  /** The text between two byte offsets. */
  slice(startByte: number, endByte: number): string {
    if (this.ascii) return this.text.slice(startByte, endByte);
    return this.utf8().toString('utf8', startByte, endByte);
  }

  byteLength(): number {
    return this.ascii ? this.text.length : this.utf8().length;
  }

  private utf8(): Buffer {
    this.bytes ??= Buffer.from(this.text, 'utf8');
    return this.bytes;
  }
}
