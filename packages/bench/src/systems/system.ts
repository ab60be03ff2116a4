/** A database under measurement: three members with durable writes on this machine, started for the run and stopped. */

export interface SystemProcess {
  /** `store-1`, `gateway`, `etcd-2`, … */
  readonly name: string;
  readonly pid: number;
}

/** Where clients of each kind connect; a kind that a system does not speak is missing. */
export interface Endpoints {
  /** `host:port` of each member, etcd's gRPC. */
  readonly etcd?: readonly string[];
  /** NATS URLs and cluster name: the SDK. */
  readonly flotilla?: { readonly servers: readonly string[]; readonly cluster: string };
  /** For libpq. */
  readonly postgres?: string;
}

export interface System {
  /** As it stands in reports. */
  readonly name: string;
  readonly endpoints: Endpoints;
  /** Roots of its process trees, as they are now. */
  readonly processes: readonly SystemProcess[];
  /** Names of those processes that hold data. */
  readonly members: readonly string[];
  /** Ends one process, or all of them, by `kill -9`. */
  kill(name?: string): Promise<void>;
  /** Starts what was killed, with the data that it had. Resolves when it was started: it need not serve yet. */
  revive(): Promise<void>;
  /** Everything ends, its files are removed. */
  stop(): Promise<void>;
}

export interface StartOptions {
  /** For data and logs; made by the caller, removed by `stop`. */
  readonly directory: string;
}
