/** The entry points of `@flotilla/raft` that a store is built on. */
import type { Clock, Disk, Logger, Prng, StoreId } from '@flotilla/base';
import type {
  MultiRaft,
  RaftLimits,
  RaftMessage,
  RaftTimings,
  StateMachine,
  WriteAheadLog,
} from '@flotilla/raft';
import * as raft from '@flotilla/raft';

export interface RaftParts {
  openWriteAheadLog(options: {
    readonly disk: Disk;
    readonly directory: string;
    readonly clock: Clock;
    readonly segmentBytes?: number;
    readonly logger?: Logger;
  }): Promise<WriteAheadLog>;
  createMultiRaft(options: {
    readonly storeId: StoreId;
    readonly clock: Clock;
    readonly prng: Prng;
    readonly wal: WriteAheadLog;
    readonly send: (to: StoreId, message: RaftMessage) => void;
    readonly stateMachine: StateMachine;
    readonly timings?: RaftTimings;
    readonly limits?: RaftLimits;
    readonly logger?: Logger;
    readonly onFatal: (error: Error) => void;
  }): MultiRaft;
  encodeRaftMessage(message: RaftMessage): Uint8Array;
  decodeRaftMessage(
    bytes: Uint8Array,
  ):
    | { readonly ok: true; readonly message: RaftMessage }
    | { readonly ok: false; readonly reason: string };
}
export const raftParts: RaftParts = { ...(raft as unknown as RaftParts) };
