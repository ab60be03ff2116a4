/** What a process is made with, and what it is once it runs. Shared by the composition root and the roles. */
import type { Clock, Logger, Prng, StoreId, Transport } from '@flotilla/base';

export interface ProcessParts {
  readonly logger: Logger;
  /** Undefined: a NATS connection made from the config. One that is handed in stays open at the end. */
  readonly transport?: Transport;
  readonly clock?: Clock;
  readonly prng?: Prng;
  /** The process cannot go on. Called at most a few times; the first error is the reason. */
  readonly onFatal: (error: Error) => void;
  /** Ends waiting for the network or the cluster. */
  readonly signal?: AbortSignal;
}

/** What roles are made with: everything is there. */
export type RoleParts = ProcessParts & {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly prng: Prng;
};

export interface RunningProcess {
  readonly storeId: StoreId | undefined;
  readonly gateway: { readonly host: string; readonly port: number } | undefined;
  /** Where metrics and health are; undefined: nowhere. */
  readonly http?: { readonly host: string; readonly port: number };
  /** Drains the gateway, hands over leaderships, flushes, disconnects. Takes up to about 4 s. */
  stop(): Promise<void>;
}
