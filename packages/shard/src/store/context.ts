/** What every part of a running store may use: made once by `running-store.ts`, handed to the rooms beside it. */
import type {
  FrameHeader,
  HybridLogicalClock,
  Logger,
  Outbox,
  StoreId,
  TurnEnd,
} from '@flotilla/base';
import type { WriteAheadLog } from '@flotilla/raft';
import type { Engine } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import type { StoreLimits } from '../limits.ts';
import type { ServedRanges } from '../reads/served-ranges.ts';
import type { Replica } from '../replica/replica.ts';
import type { Admission } from './admission.ts';
import type { Identity } from './identity.ts';
import type { StoreOptions } from './store-api.ts';

export interface StoreContext {
  readonly options: StoreOptions;
  readonly storeId: StoreId;
  readonly limits: StoreLimits;
  readonly logger: Logger;
  readonly engine: Engine;
  readonly turns: EngineTurns;
  /** Evaluated commands are proposed, then consensus looks at its groups, then frames leave. */
  readonly turnEnd: TurnEnd<'propose' | 'consensus' | 'send'>;
  readonly wal: WriteAheadLog;
  readonly hlc: HybridLogicalClock;
  readonly outbox: Outbox;
  readonly admission: Admission;
  /** Replicas that hold state, by range. */
  readonly replicas: Map<number, Replica>;
  /** Those of them that gets of one key need not ask. */
  readonly served: ServedRanges;
  readonly identity: () => Identity;
  /** Durable when it resolves. */
  readonly saveIdentity: (changes: Partial<Identity>) => Promise<void>;
  /** True for frames of this store's cluster. */
  readonly isOurs: (header: FrameHeader) => boolean;
  readonly observeHeader: (header: FrameHeader) => void;
  /** The store is stopping or stopped. */
  readonly isStopping: () => boolean;
  readonly hasFailed: () => boolean;
  /** The process must end. Only the first call counts. */
  readonly fail: (cause: unknown) => void;
}
