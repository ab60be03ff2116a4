import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameBuffer } from './frame-buffer.ts';

test('gives back the bytes it was given, however they are cut and taken', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.uint8Array({ maxLength: 50 }), fc.nat(60))),
      (steps: [Uint8Array, number][]) => {
        const buffer = new FrameBuffer();
        let model: number[] = [];
        for (const [chunk, take] of steps) {
          const given = Buffer.from(chunk);
          buffer.append(given);
          model = [...model, ...chunk];
          expect([...buffer.bytes.subarray(buffer.start, buffer.end)]).toEqual(model);
          const count = Math.min(take, model.length);
          buffer.consume(count);
          model = model.slice(count);
          expect(buffer.length).toBe(model.length);
          expect(given.equals(chunk)).toBe(true); // chunks of others are not written to
        }
      },
    ),
  );
});

test('a message in many pieces is copied a bounded number of times', () => {
  const buffer = new FrameBuffer();
  let copied = 0;
  let last = buffer.bytes;
  const piece = Buffer.alloc(1_000);
  for (let index = 0; index < 10_000; index++) {
    const held = buffer.length;
    buffer.append(piece);
    if (buffer.bytes !== last) copied += held;
    last = buffer.bytes;
  }
  expect(buffer.length).toBe(10_000_000);
  expect(copied).toBeLessThan(20_000_000);
});

test('a steady stream with a remainder does not grow the buffer', () => {
  const buffer = new FrameBuffer();
  const piece = Buffer.alloc(1_000);
  for (let index = 0; index < 1_000; index++) {
    buffer.append(piece);
    buffer.consume(buffer.length - 3);
  }
  expect(buffer.bytes.length).toBeLessThanOrEqual(4_096);
});

test('a large buffer is let go when it is used up', () => {
  const buffer = new FrameBuffer();
  buffer.append(Buffer.alloc(200_000));
  buffer.append(Buffer.alloc(1));
  buffer.consume(200_001);
  buffer.shrink();
  expect(buffer.bytes.length).toBe(0);
});
