/**
 * What SQL wants to know of the cluster below it, and may ask of it: the tables and functions of schema `flotilla` are made
 * from this. Handed to the engine by whoever knows a cluster (`client`); without one the tables are empty and the functions
 * refused. Everything here is for people: nothing that a statement's correctness rests on.
 */

export interface StoreFacts {
  readonly storeId: number;
  readonly machine: string;
  readonly zone: string;
  readonly version: string;
  /** `answers` now; `silent`: it does not, and its last report is what is known. */
  readonly state: 'answers' | 'silent';
  readonly draining: boolean;
  readonly decommissioning: boolean;
  readonly replicas: number;
  readonly leases: number;
  /** Of the replicas here, as far as it answers. */
  readonly liveBytes: number;
  readonly walBytes: number;
  /** Of the volume; 0 = not known. */
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly requestsPerSecond: number;
  readonly uptimeMs: number | undefined;
  /** Its wall clock less that of the asking process, give or take half of `roundTripMs`. */
  readonly clockSkewMs: number | undefined;
  readonly roundTripMs: number | undefined;
  readonly processId: number | undefined;
  /** Since 1970. */
  readonly reportedAtMs: number | undefined;
}

export interface ReplicaFacts {
  readonly storeId: number;
  readonly replicaId: number;
  /** False: a learner. */
  readonly voter: boolean;
  /** As consensus has it; `unknown`: the store does not answer. */
  readonly role: string;
  readonly appliedIndex: number;
}

export interface RangeFacts {
  readonly rangeId: number;
  readonly startKey: Uint8Array;
  /** Exclusive. */
  readonly endKey: Uint8Array;
  readonly generation: number;
  readonly term: number;
  readonly replicas: readonly ReplicaFacts[];
  /** Undefined: nobody that answers leads it. */
  readonly leaseholder: number | undefined;
  readonly lease: 'valid' | 'expired' | 'none';
  readonly leaseRemainingMs: number;
  readonly liveBytes: number;
  readonly requestsPerSecond: number;
}

export interface EventFacts {
  readonly number: number;
  /** Since 1970. */
  readonly atMs: number;
  readonly kind: string;
  readonly text: string;
  readonly rangeId: number | undefined;
  readonly storeId: number | undefined;
}

/** A transaction that stores know: it holds locks, waits for one, or has left intents. */
export interface TransactionFacts {
  /** 16 bytes. */
  readonly id: Uint8Array;
  readonly coordinator: string;
  /** Since 1970. Undefined: whoever knows it does not say. */
  readonly startedAtMs: number | undefined;
  readonly locks: number;
  readonly intents: number;
  readonly waits: boolean;
  readonly stores: readonly number[];
}

export interface LockFacts {
  readonly storeId: number;
  readonly rangeId: number;
  readonly key: Uint8Array;
  /** `write`: waits for a moment alone with the key. `intent`: a value that is not decided yet. */
  readonly mode: 'share' | 'exclusive' | 'write' | 'intent';
  readonly granted: boolean;
  /** Undefined: a write outside of transactions. */
  readonly transaction: Uint8Array | undefined;
  /** When not granted. Since 1970. */
  readonly waitingSinceMs: number | undefined;
  /** When not granted: transactions. */
  readonly blockedBy: readonly Uint8Array[];
}

/** What happened to a key since its store noticed it. */
export interface ContendedKeyFacts {
  readonly storeId: number;
  readonly rangeId: number;
  readonly key: Uint8Array;
  readonly waits: number;
  readonly waitedMs: number;
  readonly conflicts: number;
  /** Since 1970. */
  readonly lastAtMs: number;
}

/** What placement obeys in a span of keys; what is undefined is as everywhere. */
export interface SpanConfiguration {
  readonly replicas?: number;
  readonly splitBytes?: number;
  /** Of the store that is to lead. */
  readonly leasePreference?: string;
}

export interface ClusterInspector {
  /** In order of their numbers: every store that ever joined. */
  stores(): Promise<readonly StoreFacts[]>;
  /** In order of their keys. */
  ranges(): Promise<readonly RangeFacts[]>;
  /** The newest first. */
  events(limit?: number): Promise<readonly EventFacts[]>;
  /** The longest first. */
  transactions(): Promise<readonly TransactionFacts[]>;
  /** Those who wait first. */
  locks(): Promise<readonly LockFacts[]>;
  /** The most contended first. */
  contendedKeys(): Promise<readonly ContendedKeyFacts[]>;

  /** The ranges of the span obey exactly this from now on. Throws DbError UNAVAILABLE, INVALID_ARGUMENT, TIMEOUT. */
  configure(
    span: { readonly startKey: Uint8Array; readonly endKey: Uint8Array },
    configuration: SpanConfiguration,
    signal?: AbortSignal,
  ): Promise<void>;
  /** From now on a range begins with the key. @returns its id. Throws DbError UNAVAILABLE, INVALID_ARGUMENT, TIMEOUT. */
  split(key: Uint8Array, signal?: AbortSignal): Promise<number>;
  /** Lets another store lead the range. Throws DbError INVALID_ARGUMENT, UNAVAILABLE, TIMEOUT. */
  moveLease(rangeId: number, storeId: number, signal?: AbortSignal): Promise<void>;
  /** Throws as `moveLease`. */
  moveReplica(
    rangeId: number,
    stores: { readonly from: number; readonly to: number },
    signal?: AbortSignal,
  ): Promise<void>;
}
