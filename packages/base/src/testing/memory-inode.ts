/** One file of a MemoryDisk: what reads see, what a crash keeps, and the unsynced writes between the two. */
import type { Prng } from '../prng.ts';

export const sectorBytes: number = 512;

/** Weights of what a crash leaves in each sector of an unsynced write. */
export interface CrashChoices {
  readonly newData: number;
  readonly oldData: number;
  readonly zeros: number;
  readonly garbage: number;
}

export const defaultCrashChoices: CrashChoices = { newData: 4, oldData: 4, zeros: 1, garbage: 1 };

interface Unsynced {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class MemoryInode {
  private current: Uint8Array;
  private length: number;
  private durable: Uint8Array;
  private unsynced: Unsynced[] = [];

  constructor(content: Uint8Array = new Uint8Array(0)) {
    this.current = content;
    this.length = content.length;
    this.durable = content.slice();
  }

  size(): number {
    return this.length;
  }

  read(offset: number, length: number): Uint8Array {
    return this.current.slice(offset, Math.min(this.length, offset + length));
  }

  write(offset: number, bytes: Uint8Array): void {
    this.reserve(offset + bytes.length);
    this.current.set(bytes, offset);
    this.length = Math.max(this.length, offset + bytes.length);
    this.unsynced.push({ offset, bytes: bytes.slice() });
  }

  truncate(length: number): void {
    this.reserve(length);
    if (length < this.length) this.current.fill(0, length, this.length);
    this.length = length;
    // Simplification: a change of size is durable with the next sync or not at all (file systems journal it).
    this.unsynced = this.unsynced.filter((write) => write.offset < length);
  }

  sync(): void {
    if (this.durable.length === this.length && this.unsynced.length < 64) {
      for (const write of this.unsynced) {
        const end = Math.min(this.length, write.offset + write.bytes.length);
        this.durable.set(this.current.subarray(write.offset, end), write.offset);
      }
    } else {
      this.durable = this.current.slice(0, this.length);
    }
    this.unsynced = [];
  }

  /** fsyncgate: nobody will write these bytes any more, yet reads still see them. */
  forgetDirty(): void {
    this.unsynced = [];
  }

  crash(prng: Prng, choices: CrashChoices): void {
    let image = this.durable;
    for (const { offset, bytes } of this.unsynced) {
      const first = Math.floor(offset / sectorBytes) * sectorBytes;
      for (let at = first; at < offset + bytes.length; at += sectorBytes) {
        const from = Math.max(at, offset);
        const to = Math.min(at + sectorBytes, offset + bytes.length);
        const fate = choose(prng, choices);
        if (fate === 'oldData') continue;
        image = resized(image, Math.max(image.length, to));
        if (fate === 'zeros') image.fill(0, from, to);
        else if (fate === 'newData') image.set(bytes.subarray(from - offset, to - offset), from);
        else for (let i = from; i < to; i++) image[i] = prng.nextBelow(256);
      }
    }
    this.durable = image;
    this.current = image.slice();
    this.length = image.length;
    this.unsynced = [];
  }

  overwriteDurably(offset: number, bytes: Uint8Array): void {
    this.write(offset, bytes);
    this.unsynced.pop();
    this.durable = resized(this.durable, Math.max(this.durable.length, offset + bytes.length));
    this.durable.set(bytes, offset);
  }

  copy(): MemoryInode {
    return new MemoryInode(this.read(0, this.length));
  }

  private reserve(length: number): void {
    if (length <= this.current.length) return;
    const larger = new Uint8Array(Math.max(length, this.current.length * 2));
    larger.set(this.current.subarray(0, this.length));
    this.current = larger;
  }
}

function choose(prng: Prng, choices: CrashChoices): keyof CrashChoices {
  const { newData, oldData, zeros, garbage } = choices;
  const at = prng.nextFloat() * (newData + oldData + zeros + garbage);
  if (at < newData) return 'newData';
  if (at < newData + oldData) return 'oldData';
  return at < newData + oldData + zeros ? 'zeros' : 'garbage';
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes;
  const copy = new Uint8Array(length);
  copy.set(bytes.subarray(0, length));
  return copy;
}
