import { expect, it } from 'vitest';
import type { StoreHeartbeat } from '../../store-messages.ts';
import { FollowerSide } from './follower-side.ts';
import { LeaderSide } from './leader-side.ts';
import { PeerStore } from './peer-store.ts';

function peer(): PeerStore {
  const common = {
    ...{ incarnation: 1, heartbeatIntervalMs: 100, electionTimeoutMs: 1000 },
    ...{ changesPerMessageMax: 10, durableBatch: () => 1 },
    ...{ send: () => {}, reconsider: () => {}, beforeChange: () => {}, endSupport: () => {} },
  };
  return new PeerStore(new LeaderSide(common), new FollowerSide(common));
}

function beat(incarnation: number, logBatch: number): StoreHeartbeat {
  const delta = { base: 0, version: 0, complete: true, set: [], removed: [] };
  return {
    ...{ kind: 'storeHeartbeat', toIncarnation: 0, sentAtMs: 1, heldVersion: 0, delta },
    ...{ incarnation, logBatch },
  };
}

it('remembers the most that the other store told of its log, whichever of its lives told it', () => {
  const other = peer();
  expect(other.heard).toBeUndefined();
  other.hear(beat(3, 100));
  expect(other.heard).toEqual({ incarnation: 3, logBatch: 100 });
  // A message that was overtaken.
  other.hear(beat(3, 99));
  expect(other.heard).toEqual({ incarnation: 3, logBatch: 100 });
  // The next life: its log has all of that.
  other.hear(beat(4, 100));
  expect(other.heard).toEqual({ incarnation: 4, logBatch: 100 });
  // An old copy that ran before it could be asked makes nothing forgotten.
  other.hear(beat(5, 40));
  expect(other.heard).toEqual({ incarnation: 4, logBatch: 100 });
});

it('remembers nothing of a store that does not tell', () => {
  const other = peer();
  other.hear(beat(3, 0));
  expect(other.heard).toBeUndefined();
});
