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

type Unsynced =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly length: number };

export class MemoryInode {
  private readonly current: Content;
  private readonly durable: Content;
  private unsynced: Unsynced[] = [];

  constructor(content: Uint8Array = new Uint8Array(0)) {
    this.current = new Content(content);
    this.durable = new Content(content);
  }

  size(): number {
    return this.current.length;
  }

  read(offset: number, length: number): Uint8Array {
    return this.current.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.current.write(offset, bytes);
    this.unsynced.push({ kind: 'write', offset, bytes: bytes.slice() });
  }

  truncate(length: number): void {
    this.current.truncate(length);
    this.unsynced.push({ kind: 'truncate', length });
  }

  sync(): void {
    for (const each of this.unsynced) {
      if (each.kind === 'write') this.durable.write(each.offset, each.bytes);
      else this.durable.truncate(each.length);
    }
    this.unsynced = [];
  }

  /** fsyncgate: nobody will write these bytes any more, yet reads still see them. */
  forgetDirty(): void {
    this.unsynced = [];
  }

  crash(prng: Prng, choices: CrashChoices): void {
    for (const each of this.unsynced) {
      if (each.kind === 'write') this.tear(each.offset, each.bytes, prng, choices);
      else if (choose(prng, choices) === 'newData') this.durable.truncate(each.length);
    }
    this.unsynced = [];
    this.current.become(this.durable);
  }

  overwriteDurably(offset: number, bytes: Uint8Array): void {
    this.current.write(offset, bytes);
    this.durable.write(offset, bytes);
  }

  copy(): MemoryInode {
    return new MemoryInode(this.read(0, this.size()));
  }

  private tear(offset: number, bytes: Uint8Array, prng: Prng, choices: CrashChoices): void {
    const first = Math.floor(offset / sectorBytes) * sectorBytes;
    for (let at = first; at < offset + bytes.length; at += sectorBytes) {
      const from = Math.max(at, offset);
      const to = Math.min(at + sectorBytes, offset + bytes.length);
      const fate = choose(prng, choices);
      if (fate === 'oldData') continue;
      const sector =
        fate === 'newData' ? bytes.slice(from - offset, to - offset) : new Uint8Array(to - from);
      if (fate === 'garbage')
        for (let i = 0; i < sector.length; i++) sector[i] = prng.nextBelow(256);
      this.durable.write(from, sector);
    }
  }
}

/** A byte array that grows by doubling. */
class Content {
  private bytes: Uint8Array;
  length: number;

  constructor(content: Uint8Array) {
    this.bytes = content.slice();
    this.length = content.length;
  }

  read(offset: number, length: number): Uint8Array {
    return this.bytes.slice(offset, Math.min(this.length, offset + length));
  }

  write(offset: number, bytes: Uint8Array): void {
    this.reserve(offset + bytes.length);
    this.bytes.set(bytes, offset);
    this.length = Math.max(this.length, offset + bytes.length);
  }

  truncate(length: number): void {
    this.reserve(length);
    if (length < this.length) this.bytes.fill(0, length, this.length);
    this.length = length;
  }

  become(other: Content): void {
    this.bytes = other.read(0, other.length);
    this.length = other.length;
  }

  private reserve(length: number): void {
    if (length <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(length, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

function choose(prng: Prng, choices: CrashChoices): keyof CrashChoices {
  const { newData, oldData, zeros, garbage } = choices;
  const at = prng.nextFloat() * (newData + oldData + zeros + garbage);
  if (at < newData) return 'newData';
  if (at < newData + oldData) return 'oldData';
  return at < newData + oldData + zeros ? 'zeros' : 'garbage';
}
