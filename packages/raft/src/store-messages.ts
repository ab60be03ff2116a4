/**
 * What two stores say to each other on behalf of all their groups: one heartbeat per pair and interval instead of one
 * per group. Pure data: bytes are `store-codec.ts`, the meaning is in `driver/liveness/`.
 */
import type { RangeId, ReplicaId, Term } from '@flotilla/base';
import type { RaftMessage } from './messages.ts';

/** `leader` leads the group in `term`, and `follower` is its member on the other store. */
export interface Leadership {
  readonly rangeId: RangeId;
  readonly term: Term;
  readonly leader: ReplicaId;
  readonly follower: ReplicaId;
}

/** What became of a set of leaderships between two of its versions: for every group that changed, how it is now. */
export interface SetDelta {
  /** Changes after this version, up to `version`. Applies to a set that is held at `base` or later. */
  readonly base: number;
  readonly version: number;
  /** False: more changes follow in another message of the same moment. */
  readonly complete: boolean;
  readonly set: readonly Leadership[];
  readonly removed: readonly RangeId[];
}

interface StoreEnvelope {
  /** The sender's; rises with every start of its process. */
  readonly incarnation: number;
  /** The receiver's as far as the sender knows; 0 = not at all. */
  readonly toIncarnation: number;
  readonly delta: SetDelta;
  /** The sender's log was durable up to this batch when it was sent. 0: the sender does not tell. */
  readonly logBatch: number;
  /** The version that the sender holds of the receiver's set. */
  readonly heldVersion: number;
}

/** As of `sentAtMs` the sender leads what its set says. */
export interface StoreHeartbeat extends StoreEnvelope {
  readonly kind: 'storeHeartbeat';
  /** The sender's monotonic clock. Echoed: leases count from it. */
  readonly sentAtMs: number;
}

/** As of the receipt of that heartbeat the sender follows, in every group of its set, exactly the leader it names. */
export interface StoreHeartbeatResponse extends StoreEnvelope {
  readonly kind: 'storeHeartbeatResponse';
  /** Of the heartbeat that is answered. */
  readonly sentAtMs: number;
}

export type StoreMessage = StoreHeartbeat | StoreHeartbeatResponse;

/** What a store was last heard to have: its start after that finds at least this batch in its log. */
export interface HeardLog {
  readonly incarnation: number;
  readonly logBatch: number;
}

/** Everything that goes from store to store about consensus. */
export type PeerMessage = RaftMessage | StoreMessage;

export function isStoreMessage(message: PeerMessage): message is StoreMessage {
  return message.kind === 'storeHeartbeat' || message.kind === 'storeHeartbeatResponse';
}
