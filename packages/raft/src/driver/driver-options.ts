/** What a driver is made of, and what its rooms share. */
import type { Clock, Logger, Prng, StoreId } from '@flotilla/base';
import type { RaftLimits, RaftTimings } from '../core/raft-core.ts';
import type { PeerMessage } from '../store-messages.ts';
import type { WriteAheadLog } from '../wal/write-ahead-log.ts';
import type { Group } from './group.ts';
import type { DriverLimits } from './limits.ts';
import type { StateMachine } from './multi-raft.ts';

export interface DriverOptions {
  readonly storeId: StoreId;
  /** Rises with every start of this store: other stores tell its lives apart by it. At least 1. */
  readonly incarnation: number;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly wal: WriteAheadLog;
  /** Queues a message for a peer's store; the sender coalesces per store and turn. */
  readonly send: (to: StoreId, message: PeerMessage) => void;
  readonly stateMachine: StateMachine;
  readonly timings: RaftTimings;
  readonly limits: RaftLimits;
  readonly driverLimits: DriverLimits;
  readonly logger?: Logger;
  /** The process must end: the log or the state machine failed, or an invariant broke. Called once. */
  readonly onFatal: (error: Error) => void;
}

/** The driver as its rooms see it. */
export interface DriverShell {
  readonly options: DriverOptions;
  readonly clock: Clock;
  readonly logger: Logger;
  /** False once the driver has stopped or failed: whatever comes back then is nobody's business any more. */
  isAlive(): boolean;
  /** Something happened to the group: the next turn looks at it. */
  touch(group: Group): void;
  /** There will be a turn at the end of this turn of the event loop. */
  schedule(): void;
  /** Runs `work`; what it throws ends the process. For callbacks of promises and timers. */
  guarded(work: () => void): void;
  /** The process must end. */
  fail(error: unknown): void;
}
