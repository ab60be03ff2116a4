/**
 * Store-level heartbeats as bytes, and the strict border behind them. `codec.ts` calls it for the two kinds that are not
 * of one group; what comes out is well formed.
 */
import { type RangeId, toRangeId, toReplicaId, toTerm } from '@flotilla/base';
import { flotilla } from '../gen/raft.js';
import type { Leadership, SetDelta, StoreMessage } from './store-messages.ts';

const wire = flotilla.raft;
const kinds = wire.MessageKind;

export function storeToWire(message: StoreMessage): flotilla.raft.Message.$Properties {
  const { delta } = message;
  return {
    kind:
      message.kind === 'storeHeartbeat' ? kinds.STORE_HEARTBEAT : kinds.STORE_HEARTBEAT_RESPONSE,
    sentAtMs: message.sentAtMs,
    store: {
      incarnation: message.incarnation,
      toIncarnation: message.toIncarnation,
      heldVersion: message.heldVersion,
      logBatch: message.logBatch,
      baseVersion: delta.base,
      version: delta.version,
      complete: delta.complete,
      rangeIds: delta.set.map((item) => item.rangeId),
      terms: delta.set.map((item) => item.term),
      leaders: delta.set.map((item) => item.leader),
      followers: delta.set.map((item) => item.follower),
      removedRangeIds: [...delta.removed],
    },
  };
}

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;
const isId = (n: number): boolean => Number.isSafeInteger(n) && n >= 1;

/** Why the message is refused, or undefined if it is well formed. */
export function findStoreFault(m: flotilla.raft.Message): string | undefined {
  if (m.kind !== kinds.STORE_HEARTBEAT && m.kind !== kinds.STORE_HEARTBEAT_RESPONSE)
    return m.store === null ? `unknown message kind ${m.kind}` : 'store fields in a group message';
  if (!(Number.isFinite(m.sentAtMs) && m.sentAtMs >= 0)) return 'sentAtMs is not a time';
  const { store } = m;
  if (store === null || store === undefined) return 'no store fields';
  if (!isId(store.incarnation ?? 0)) return 'incarnation is not an incarnation';
  const { toIncarnation, heldVersion, baseVersion, logBatch } = store;
  const versions = [toIncarnation, heldVersion, baseVersion, store.version, logBatch];
  if (!versions.every((n) => isCount(n ?? 0))) return 'a version is negative or not exact';
  if ((store.baseVersion ?? 0) > (store.version ?? 0)) return 'a delta goes backwards';
  const { rangeIds = [], terms = [], leaders = [], followers = [], removedRangeIds = [] } = store;
  const count = rangeIds?.length;
  if (terms?.length !== count || leaders?.length !== count || followers?.length !== count)
    return 'columns differ in length';
  for (const column of [rangeIds, terms, leaders, followers, removedRangeIds])
    if (!column?.every(isId)) return 'an item is not of ids and terms';
  return undefined;
}

/** The message has no fault. */
export function storeFromWire(m: flotilla.raft.Message): StoreMessage {
  const store = new wire.StoreLiveness(m.store ?? undefined);
  const set: Leadership[] = store.rangeIds.map((rangeId, i) => ({
    rangeId: toRangeId(rangeId),
    term: toTerm(store.terms[i] ?? 0),
    leader: toReplicaId(store.leaders[i] ?? 0),
    follower: toReplicaId(store.followers[i] ?? 0),
  }));
  const removed: RangeId[] = store.removedRangeIds.map(toRangeId);
  const delta: SetDelta = {
    base: store.baseVersion,
    version: store.version,
    complete: store.complete,
    set,
    removed,
  };
  const { incarnation, toIncarnation, heldVersion, logBatch } = store;
  const kind = m.kind === kinds.STORE_HEARTBEAT ? 'storeHeartbeat' : 'storeHeartbeatResponse';
  return { kind, incarnation, toIncarnation, sentAtMs: m.sentAtMs, logBatch, delta, heldVersion };
}
