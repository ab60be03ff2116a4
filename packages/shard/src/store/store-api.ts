/** What the composition root may know of a store. */
import type { Clock, Disk, Logger, Prng, StoreId, Transport } from '@flotilla/base';
import type { DriverLimits, RaftLimits, RaftTimings } from '@flotilla/raft';
import type { Engine } from '../engine/engine.ts';
import type { StorePrograms } from '../evaluation/row-programs.ts';
import type { StoreLimits } from '../limits.ts';
import type { PlacementSettings, StoreFigures, WriteHealth } from '../placement/settings.ts';
import type { FinishTransaction } from '../transaction/abandoned.ts';

export interface StoreOptions {
  /** Holds `identity.json`, `wal/` and `engine/`. Made if absent; locked while the store is open. */
  readonly directory: string;
  /** Needed for a new directory; must match that of an existing one. */
  readonly storeId?: StoreId;
  /** Label of the machine: replicas of a range are kept on different ones. */
  readonly machine: string;
  /** Of the program, for status. */
  readonly version: string;
  /** Stays the caller's: the store never closes it. */
  readonly transport: Transport;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly disk: Disk;
  readonly openEngine: (directory: string) => Promise<Engine>;
  readonly logger?: Logger;
  /** Called at most once. The store serves nothing afterwards; the process must end. */
  readonly onFatal: (error: Error) => void;
  readonly timings?: RaftTimings;
  readonly raftLimits?: RaftLimits;
  readonly driverLimits?: Partial<DriverLimits>;
  readonly limits?: Partial<StoreLimits>;
  /** Absent: this store takes no part in placement: it neither joins by itself nor places anything. */
  readonly placement?: PlacementSettings;
  /** Finishes transactions whose coordinators are gone, wherever their keys are. Absent: whoever meets them does. */
  readonly finishTransaction?: FinishTransaction;
  /** Runs what scans and writes carry along. Absent: programs are refused, and whoever asks evaluates rows itself. */
  readonly programs?: StorePrograms;
  /** Size of a log segment, preallocated. Default: the log's own. Unit: bytes. */
  readonly walSegmentBytes?: number;
  /** Shown by status. Default: this process's id. */
  readonly pid?: number;
}

export interface Store {
  readonly storeId: StoreId;
  /** Resolves once the store is founded and knows a leader for each of its ranges. May never resolve. */
  readonly ready: Promise<void>;
  /** Whether this process reaches a cluster that commits writes. Undefined: not known without placement. */
  readonly writeHealth: WriteHealth | undefined;
  /** Costs a look at every replica. */
  figures(): StoreFigures;
  /** Refuses new work, lets go of leadership, finishes, takes a last checkpoint, closes. Idempotent. Resolves when
   *  closed; handing over and finishing are given up after `timeoutMs`. */
  stop(options: { readonly timeoutMs: number }): Promise<void>;
  /** Takes a checkpoint now. For tests and operators. */
  checkpoint(): Promise<void>;
}
