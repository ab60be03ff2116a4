import { expect, it } from 'vitest';
import { prefixEnd } from './bytes.ts';

it('prefixEnd leaves the prefix as it is, Buffers included', () => {
  for (const prefix of [Uint8Array.of(8, 0xff), Buffer.of(8, 0xff)]) {
    expect([...(prefixEnd(prefix) ?? [])]).toEqual([9]);
    expect([...prefix]).toEqual([8, 0xff]);
  }
  expect(prefixEnd(Uint8Array.of(0xff, 0xff))).toBeUndefined();
  expect(prefixEnd(Uint8Array.of())).toBeUndefined();
});
