/** Versions, intents and the times of reads of a pretended cluster: the plainest form of what a leaseholder keeps. */
import { compareBytes, toHex } from '@flotilla/base';

export interface Version {
  readonly timestamp: number;
  /** undefined: the key was deleted. */
  readonly value: Uint8Array | undefined;
}

export interface FakeIntent {
  readonly key: Uint8Array;
  readonly transactionId: Uint8Array;
  readonly anchorKey: Uint8Array;
  readonly coordinator: string;
  readonly timestamp: number;
  readonly value: Uint8Array | undefined;
}

interface SpanRead {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly timestamp: number;
}

const none: readonly Version[] = [];

export class FakeVersions {
  readonly intents: Map<string, FakeIntent> = new Map();
  private readonly versions = new Map<string, { key: Uint8Array; list: Version[] }>();
  private readonly readAt = new Map<string, number>();
  private readonly spansRead: SpanRead[] = [];

  of(key: Uint8Array): readonly Version[] {
    return this.versions.get(toHex(key))?.list ?? none;
  }

  /** Oldest first. @returns whether it was not there already */
  add(key: Uint8Array, version: Version): boolean {
    const name = toHex(key);
    let entry = this.versions.get(name);
    if (entry === undefined) {
      entry = { key: Uint8Array.from(key), list: [] };
      this.versions.set(name, entry);
    }
    if (entry.list.some(({ timestamp }) => timestamp === version.timestamp)) return false;
    entry.list.push(version);
    entry.list.sort((a, b) => a.timestamp - b.timestamp);
    return true;
  }

  newest(key: Uint8Array): Version | undefined {
    return this.of(key).at(-1);
  }

  at(key: Uint8Array, timestamp: number): Version | undefined {
    return this.of(key).findLast((version) => version.timestamp <= timestamp);
  }

  /** Every key that was ever written, in the span, in order. */
  keysIn(startKey: Uint8Array, endKey: Uint8Array): Uint8Array[] {
    const keys = [...this.versions.values()].map(({ key }) => key);
    return keys.filter((key) => inSpan(key, startKey, endKey)).sort(compareBytes);
  }

  intentsIn(startKey: Uint8Array, endKey: Uint8Array): FakeIntent[] {
    return [...this.intents.values()].filter(({ key }) => inSpan(key, startKey, endKey));
  }

  noteRead(key: Uint8Array, timestamp: number): void {
    const name = toHex(key);
    this.readAt.set(name, Math.max(timestamp, this.readAt.get(name) ?? 0));
  }

  noteSpanRead(startKey: Uint8Array, endKey: Uint8Array, timestamp: number): void {
    this.spansRead.push({
      startKey: Uint8Array.from(startKey),
      endKey: Uint8Array.from(endKey),
      timestamp,
    });
  }

  /** The least timestamp at which the key can be written. */
  leastWrite(key: Uint8Array): number {
    let read = this.readAt.get(toHex(key)) ?? 0;
    for (const span of this.spansRead)
      if (span.timestamp > read && inSpan(key, span.startKey, span.endKey)) read = span.timestamp;
    return Math.max(read, this.newest(key)?.timestamp ?? 0) + 1;
  }
}

export function inSpan(key: Uint8Array, startKey: Uint8Array, endKey: Uint8Array): boolean {
  return compareBytes(startKey, key) <= 0 && compareBytes(key, endKey) < 0;
}
