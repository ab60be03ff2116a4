import { describe, expect, it } from 'vitest';
import { Overlay, overlayKey } from './overlay.ts';

const key = Buffer.from('k');
const name = overlayKey(key);

function under(...timestamps: readonly number[]): Overlay {
  const overlay = new Overlay();
  for (const timestamp of timestamps) overlay.set(name, { key, stored: undefined, timestamp });
  return overlay;
}

describe('writes under way', () => {
  it('show the newest of a key, and since when the engine lacks one', () => {
    const overlay = under(5, 7, 9);
    expect(overlay.get(name)?.timestamp).toBe(9);
    expect(overlay.firstUnderWay(name)).toBe(5);
    expect(overlay.firstUnderWay('other')).toBeUndefined();
  });

  it('are let go one after the other', () => {
    const overlay = under(5, 7, 9);
    overlay.settle(key, 5);
    expect(overlay.firstUnderWay(name)).toBe(7);
    overlay.settle(key, 7);
    expect(overlay.firstUnderWay(name)).toBe(9);
    expect(overlay.size).toBe(1);
    overlay.settle(key, 9);
    expect(overlay.firstUnderWay(name)).toBeUndefined();
    expect(overlay.size).toBe(0);
  });

  it('leave nothing behind for those that come later', () => {
    const overlay = under(5, 7);
    overlay.settle(key, 7);
    overlay.set(name, { key, stored: undefined, timestamp: 11 });
    expect(overlay.firstUnderWay(name)).toBe(11);
    overlay.clear();
    expect(overlay.firstUnderWay(name)).toBeUndefined();
  });
});
