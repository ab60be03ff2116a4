import { timestampFromWallMs } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import {
  decodeProtection,
  encodeProtection,
  ProtectedSnapshots,
  type SnapshotProtection,
} from './snapshot-protection.ts';

/** A time of day. Unit: ms. */
const noon = 1_800_000_000_000;
const ttlMs = 600_000;
const at = (agoMs: number): number => timestampFromWallMs(noon - agoMs);

function protection(changes: Partial<SnapshotProtection> = {}): SnapshotProtection {
  return { timestamp: at(700_000), createdAt: at(650_000), expiresAtMs: noon + 60_000, ...changes };
}

describe('a protected snapshot', () => {
  it('holds the horizon back until it has expired, by a margin', () => {
    const horizon = (changes: Partial<SnapshotProtection>): number =>
      new ProtectedSnapshots([protection(changes)], noon).horizon(ttlMs);
    expect(horizon({})).toBe(at(700_000));
    expect(horizon({ expiresAtMs: noon - 9000 })).toBe(at(700_000));
    expect(horizon({ expiresAtMs: noon - 11_000 })).toBe(at(ttlMs));
    // One that is younger than the time to live changes nothing.
    expect(horizon({ timestamp: at(1000) })).toBe(at(ttlMs));
  });

  it('covers what is read at it and later, not before it, and not when it has expired', () => {
    const snapshots = new ProtectedSnapshots([protection()], noon);
    expect(snapshots.covers(at(700_000), noon, ttlMs)).toBe(true);
    expect(snapshots.covers(at(690_000), noon, ttlMs)).toBe(true);
    expect(snapshots.covers(at(700_001), noon, ttlMs)).toBe(false);
    expect(snapshots.covers(at(700_000), noon + 60_000, ttlMs)).toBe(false);
  });

  it('covers nothing if it was nearly forgotten when it came', () => {
    const late = protection({ timestamp: at(700_000), createdAt: at(200_000) });
    expect(new ProtectedSnapshots([late], noon).covers(at(700_000), noon, ttlMs)).toBe(false);
  });

  it('says who is looked at first: the horizon follows the last look, not the clock', () => {
    expect(new ProtectedSnapshots([], noon - 5000).horizon(ttlMs)).toBe(at(ttlMs + 5000));
  });

  it('is a row whose first version tells when it came; other bytes are no row', () => {
    const value = encodeProtection(protection({ createdAt: 0 }));
    expect(decodeProtection({ value, timestamp: 77 })).toEqual(protection({ createdAt: 77 }));
    const renewed = encodeProtection(protection());
    expect(decodeProtection({ value: renewed, timestamp: 77 })).toEqual(protection());
    expect(decodeProtection({ value: Buffer.from('nonsense'), timestamp: 77 })).toBeUndefined();
    expect(decodeProtection({ value: Buffer.alloc(0), timestamp: 77 })).toBeUndefined();
  });
});
