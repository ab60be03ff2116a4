/** A log that does nothing but append and sync: what comes while a sync is under way goes out with the next. */
import { type FileHandle, open } from 'node:fs/promises';

export class Log {
  syncs = 0;
  private readonly file: FileHandle;
  private waiting: Uint8Array[] = [];
  private afterwards: (() => void)[] = [];
  private running: Promise<void> | undefined;

  private constructor(file: FileHandle) {
    this.file = file;
  }

  static async open(path: string): Promise<Log> {
    return new Log(await open(path, 'w'));
  }

  /** @param then called when it is on disk */
  append(bytes: Uint8Array, then: () => void): void {
    this.waiting.push(bytes);
    this.afterwards.push(then);
    this.running ??= this.run();
  }

  async close(): Promise<void> {
    await this.running;
    await this.file.close();
  }

  private async run(): Promise<void> {
    while (this.waiting.length > 0) {
      const [bytes, afterwards] = [this.waiting, this.afterwards];
      this.waiting = [];
      this.afterwards = [];
      await this.file.writev(bytes);
      await this.file.datasync();
      this.syncs++;
      for (const then of afterwards) then();
    }
    this.running = undefined;
  }
}
