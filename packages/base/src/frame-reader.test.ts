import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFragment, encodeFrame, type FrameHeader, noClusterId, pieceBytes } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import { toStoreId, toTimestamp } from './ids.ts';
import { ManualClock } from './testing/manual-clock.ts';

function headerOf(storeId: number): FrameHeader {
  return {
    clusterId: noClusterId,
    timestamp: toTimestamp(1),
    sender: { kind: 'store', storeId: toStoreId(storeId) },
  };
}

function piecesOf(message: Uint8Array, pieces: number, messageNumber = 1, storeId = 1) {
  const each = pieceBytes(message.length, pieces);
  return Array.from({ length: pieces }, (_, piece) =>
    encodeFragment(headerOf(storeId), {
      messageNumber,
      piece,
      pieces,
      totalBytes: message.length,
      bytes: message.subarray(piece * each, (piece + 1) * each),
    }),
  );
}

function messagesOf(reader: FrameReader, frame: Uint8Array): Uint8Array[] {
  const result = reader.read(frame);
  if (!result.ok) throw new Error(result.reason);
  return result.messages;
}

function pattern(length: number, salt = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + salt) & 255);
}

describe('FrameReader', () => {
  it('passes whole frames through', () => {
    const reader = new FrameReader({ clock: new ManualClock() });
    const frame = encodeFrame(headerOf(3), [Uint8Array.of(1), Uint8Array.of(2, 3)]);
    expect(messagesOf(reader, frame).map((m) => [...m])).toEqual([[1], [2, 3]]);
    expect(reader.pendingBytes).toBe(0);
  });

  it('puts interleaved messages together whatever the order and the number of copies of their pieces', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 20, max: 200 }),
        fc.integer({ min: 2, max: 4 }),
        fc.array(fc.nat(1000), { minLength: 1, maxLength: 12 }),
        (length, pieces, picks) => {
          const clock = new ManualClock();
          const reader = new FrameReader({ clock });
          const sources = [pattern(length, 1), pattern(length, 2), pattern(length + 9, 3)];
          const frames = sources.flatMap((m, i) => piecesOf(m, pieces, i + 1, (i % 2) + 1));
          // Random duplicates first, then every piece once: each message comes out at least once, never altered.
          const sent = [...picks.map((p) => frames[p % frames.length]), ...frames];
          const seen = sent.flatMap((f) => (f === undefined ? [] : messagesOf(reader, f)));
          for (const message of seen)
            expect(sources.some((s) => Buffer.compare(s, message) === 0)).toBe(true);
          for (const source of sources)
            expect(seen.some((m) => Buffer.compare(source, m) === 0)).toBe(true);
        },
      ),
    );
  });

  it('gives up a message whose pieces stop coming, and frees its memory without further traffic', () => {
    const clock = new ManualClock();
    const reader = new FrameReader({ clock, pieceTimeoutMs: 100 });
    const [first, second] = piecesOf(pattern(50), 2);
    if (first === undefined || second === undefined) throw new Error('two pieces');
    messagesOf(reader, first);
    expect(reader.pendingBytes).toBe(50);
    clock.advance(250);
    expect(reader.pendingBytes).toBe(0);
    expect(clock.nextTimerAt()).toBeUndefined();
    expect(messagesOf(reader, second)).toEqual([]);
  });

  it('bounds the memory of one sender by dropping its oldest message, not those of others', () => {
    const reader = new FrameReader({ clock: new ManualClock(), senderBytesMax: 250 });
    const other = piecesOf(pattern(100, 7), 2, 1, 2);
    const messages = [1, 2, 3].map((n) => piecesOf(pattern(100, n), 2, n, 1));
    for (const frames of [other, ...messages]) messagesOf(reader, frames[0] ?? new Uint8Array());
    expect(reader.pendingBytes).toBe(300);
    expect(messagesOf(reader, messages[1]?.[1] ?? new Uint8Array())).toHaveLength(1);
    expect(messagesOf(reader, messages[2]?.[1] ?? new Uint8Array())).toHaveLength(1);
    expect(messagesOf(reader, other[1] ?? new Uint8Array())).toHaveLength(1);
    expect(reader.pendingBytes).toBe(0);
    expect(messagesOf(reader, messages[0]?.[1] ?? new Uint8Array())).toEqual([]);
  });

  it('bounds the memory of all senders together', () => {
    const reader = new FrameReader({ clock: new ManualClock(), totalBytesMax: 1000 });
    for (let sender = 1; sender <= 100; sender++)
      messagesOf(reader, piecesOf(pattern(100), 2, 1, sender)[0] ?? new Uint8Array());
    expect(reader.pendingBytes).toBe(1000);
  });

  it('refuses a message larger than a sender may have under way', () => {
    const reader = new FrameReader({ clock: new ManualClock(), senderBytesMax: 99 });
    expect(reader.read(piecesOf(pattern(100), 2)[0] ?? new Uint8Array()).ok).toBe(false);
  });

  it('starts over when a number comes back with another shape', () => {
    const reader = new FrameReader({ clock: new ManualClock() });
    messagesOf(reader, piecesOf(pattern(100), 2)[0] ?? new Uint8Array());
    const frames = piecesOf(pattern(90, 5), 3);
    const seen = frames.flatMap((frame) => messagesOf(reader, frame));
    expect(seen).toHaveLength(1);
    expect(Buffer.compare(seen[0] ?? new Uint8Array(), pattern(90, 5))).toBe(0);
    expect(reader.pendingBytes).toBe(0);
  });

  it('refuses garbage', () => {
    const reader = new FrameReader({ clock: new ManualClock() });
    expect(reader.read(Uint8Array.of(1, 2, 3)).ok).toBe(false);
  });

  it('forgets everything and disarms when closed', () => {
    const clock = new ManualClock();
    const reader = new FrameReader({ clock });
    messagesOf(reader, piecesOf(pattern(100), 2)[0] ?? new Uint8Array());
    reader.close();
    expect(reader.pendingBytes).toBe(0);
    expect(clock.nextTimerAt()).toBeUndefined();
  });
});
