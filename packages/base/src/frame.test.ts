import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeFrame,
  encodeFragment,
  encodeFrame,
  type FrameHeader,
  frameHeaderBytes,
  isClientId,
  noClusterId,
  pieceBytes,
} from './frame.ts';
import { toStoreId, toTimestamp } from './ids.ts';

const storeHeader: FrameHeader = {
  clusterId: noClusterId,
  timestamp: toTimestamp(123_456_789_012),
  sender: { kind: 'store', storeId: toStoreId(7) },
};
const clientHeader: FrameHeader = {
  clusterId: Uint8Array.from({ length: 16 }, (_, i) => i),
  timestamp: toTimestamp(0),
  sender: { kind: 'client', clientId: 'gateway-1_x' },
};

const headers = fc.record({
  clusterId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  timestamp: fc.maxSafeNat().map(toTimestamp),
  sender: fc.oneof(
    fc.record({
      kind: fc.constant('store' as const),
      storeId: fc.integer({ min: 1 }).map(toStoreId),
    }),
    fc.record({
      kind: fc.constant('client' as const),
      clientId: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
    }),
  ),
});

describe('frame codec', () => {
  it('has exactly the layout that the file header states', () => {
    const frame = encodeFrame(storeHeader, [Uint8Array.of(1, 2), new Uint8Array(0)]);
    const expected = Buffer.alloc(1 + 1 + 16 + 8 + 1 + 8 + 4 + 2 + 4);
    expected[0] = 1;
    expected.writeDoubleLE(123_456_789_012, 18);
    expected[26] = 1;
    expected.writeDoubleLE(7, 27);
    expected.writeUInt32LE(2, 35);
    expected[39] = 1;
    expected[40] = 2;
    expect(Buffer.from(frame).toString('hex')).toBe(expected.toString('hex'));
    expect(frameHeaderBytes(storeHeader)).toBe(35);
    expect(frameHeaderBytes(clientHeader)).toBe(1 + 1 + 16 + 8 + 1 + 1 + 11);
  });

  it('gives back what it was given, as slices of the frame', () => {
    fc.assert(
      fc.property(headers, fc.array(fc.uint8Array({ maxLength: 40 })), (header, messages) => {
        const frame = encodeFrame(header, messages);
        const decoded = decodeFrame(frame);
        if (!decoded.ok || decoded.kind !== 'whole') throw new Error('whole frame expected');
        expect(decoded.header.sender).toEqual(header.sender);
        expect(decoded.header.timestamp).toBe(header.timestamp);
        expect(Buffer.compare(decoded.header.clusterId, header.clusterId)).toBe(0);
        expect(decoded.messages.map((m) => [...m])).toEqual(messages.map((m) => [...m]));
        for (const message of decoded.messages) expect(message.buffer).toBe(frame.buffer);
      }),
    );
  });

  it('gives back a fragment', () => {
    const bytes = new Uint8Array(pieceBytes(11, 3)).fill(9);
    const fragment = { messageNumber: 5, piece: 1, pieces: 3, totalBytes: 11, bytes };
    const decoded = decodeFrame(encodeFragment(clientHeader, fragment));
    if (!decoded.ok || decoded.kind !== 'fragment') throw new Error('fragment expected');
    expect({ ...decoded.fragment, bytes: [...decoded.fragment.bytes] }).toEqual({
      ...fragment,
      bytes: [...bytes],
    });
  });

  it('refuses every truncation that does not end between messages', () => {
    const frame = encodeFrame(clientHeader, [Uint8Array.of(1, 2, 3), Uint8Array.of(4)]);
    const head = frameHeaderBytes(clientHeader);
    const whole = new Set([head, head + 7, head + 12]);
    for (let length = 0; length <= frame.length; length++) {
      expect(decodeFrame(frame.subarray(0, length)).ok).toBe(whole.has(length));
    }
  });

  it.each([
    ['another version', 0, 2],
    ['unknown flags', 1, 2],
    ['an unknown sender kind', 26, 3],
    ['a negative timestamp', 25, 0xbf],
    ['a NaN timestamp', 25, 0x7f],
    ['a fractional store id', 27, 1],
  ])('refuses %s', (_what, at, value) => {
    const frame = encodeFrame(storeHeader, []);
    expect(decodeFrame(frame).ok).toBe(true);
    frame[at] = value;
    if (at === 25) frame[24] = 0xff;
    expect(decodeFrame(frame).ok).toBe(false);
  });

  it('refuses client ids that are not tokens of a subject', () => {
    for (const id of ['', 'a.b', 'a b', '>', '*', 'ü', 'x'.repeat(65)])
      expect(isClientId(id)).toBe(false);
    const frame = encodeFrame(clientHeader, []);
    frame[28] = '.'.charCodeAt(0);
    expect(decodeFrame(frame).ok).toBe(false);
  });

  it('refuses fragments whose numbers do not fit together', () => {
    const good = { messageNumber: 1, piece: 0, pieces: 2, totalBytes: 4, bytes: new Uint8Array(2) };
    const frame = encodeFragment(storeHeader, good);
    expect(decodeFrame(frame).ok).toBe(true);
    const at = frameHeaderBytes(storeHeader);
    const lies: [number, number][] = [
      [at + 8, 2], // piece beyond the last
      [at + 12, 0],
      [at + 12, 1],
      [at + 12, 1025],
      [at + 16, 0],
      [at + 16, 5], // the piece would be longer
      [at + 16, 17 * 1024 * 1024],
    ];
    for (const [offset, value] of lies) {
      const lie = Buffer.from(frame);
      lie.writeUInt32LE(value, offset);
      expect(decodeFrame(lie).ok).toBe(false);
    }
  });

  it('never throws on garbage or on mutated frames', () => {
    const seeds = [
      encodeFrame(storeHeader, [new Uint8Array(9)]),
      encodeFrame(clientHeader, []),
      encodeFragment(storeHeader, {
        messageNumber: 1,
        piece: 1,
        pieces: 2,
        totalBytes: 20,
        bytes: new Uint8Array(10),
      }),
    ];
    const mutated = fc
      .tuple(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
        fc.nat(80),
      )
      .map(([seed, flips, cut]) => {
        const frame = Uint8Array.from(seed);
        for (const [at, value] of flips) if (at < frame.length) frame[at] = value;
        return frame.subarray(0, cut);
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), mutated), (bytes) => {
        const decoded = decodeFrame(bytes);
        if (!decoded.ok || decoded.kind !== 'whole') return;
        // What is accepted is canonical: it encodes to the same bytes.
        const again = encodeFrame(decoded.header, decoded.messages);
        expect(Buffer.compare(again, bytes)).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });
});
