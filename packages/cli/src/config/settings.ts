/**
 * Every setting of a process, once: its key, what it accepts, its default. The key is the flag (`--store-id`), with
 * `FLOTILLA_` in front the environment variable (`FLOTILLA_STORE_ID`), and as it stands the key of the config file.
 */
import { z } from 'zod';

export type Role = 'store' | 'gateway';

/** A host and port to listen on; port 0 = any free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** What a guarded nats-server asks for: a user with a password, or one of the other ways; and how TLS is made. */
export interface NatsSecurity {
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly nkeySeed: string | undefined;
  readonly credentialsFile: string | undefined;
  /** This and the next two are PEM. */
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** How the gateway knows its clients, and they it. Files are PEM. */
export interface GatewaySecurity {
  /** Both or neither. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly clientCaFile: string | undefined;
  /** Rules in the form of pg_hba.conf. */
  readonly accessRulesFile: string | undefined;
}

/** When ranges are cut and how briskly replicas are moved. The same on every store: each acts when it leads. */
export interface PlacementConfig {
  readonly deadStoreAfterSeconds: number;
  /** 0 = never. */
  readonly splitBytes: number;
  /** 0 = never. */
  readonly splitRequestsPerSecond: number;
  /** How long versions that were replaced are kept. Unit: s. */
  readonly gcTtlSeconds: number;
  /** How long ago timestamps are closed, for reads at followers. The same on gateways: they ask by it. Unit: s. */
  readonly closedTimestampLagSeconds: number;
  /** Snapshots that one store receives at once. */
  readonly snapshotsAtOnce: number;
  /** Leases on their way to, or from, one store at once. */
  readonly leaseMovesAtOnce: number;
  /** Between two writes of a store's row; three that are missed make it suspect. */
  readonly storeReportSeconds: number;
}

export interface ProcessConfig {
  readonly roles: readonly Role[];
  /** Needed on a store's first start; later the data directory knows it. */
  readonly storeId: number | undefined;
  /** The store's directory. */
  readonly data: string;
  readonly nats: readonly string[];
  readonly natsSecurity: NatsSecurity;
  /** Part of every NATS subject: clusters of different names share servers without hearing each other. */
  readonly cluster: string;
  /** Stores of one machine hold two replicas of one range only where there are too few machines. */
  readonly machine: string;
  /** Of machines that may fail together. Undefined: not known. */
  readonly zone: string | undefined;
  readonly placement: PlacementConfig;
  readonly listen: ListenAddress;
  /** Undefined: no HTTP. */
  readonly http: ListenAddress | undefined;
  readonly gatewaySecurity: GatewaySecurity;
  /** In which the gateway has a directory of its own for rows that memory has no room for. */
  readonly temporaryDirectory: string;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly logPretty: boolean;
  readonly readyFile: string | undefined;
}

export interface Setting {
  readonly key: string;
  /** As commander writes it, without the leading dashes. */
  readonly argument: string | undefined;
  readonly description: string;
  /** As a person would write it; undefined = none. */
  readonly defaultText: string | undefined;
  /** What is accepted, for error texts: "expected …". */
  readonly expected: string;
  readonly schema: z.ZodType;
  /** Not to be shown in errors. */
  readonly secret?: true;
}

const list = (value: unknown): unknown =>
  typeof value === 'string'
    ? value
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '')
    : value;

const wholeNumber = (value: unknown): unknown =>
  typeof value === 'string' && /^\d+$/.test(value.trim()) ? Number(value) : value;

const byteUnits: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** `64MiB` and `67108864` are the same. */
export const byteCount = (value: unknown): unknown => {
  const match = typeof value === 'string' ? /^(\d+) ?(KiB|MiB|GiB)$/.exec(value.trim()) : null;
  return match === null ? wholeNumber(value) : Number(match[1]) * (byteUnits[match[2] ?? ''] ?? 1);
};

const flag = (value: unknown): unknown => {
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  return value;
};

const natsUrl = /^((nats|tls|ws|wss):\/\/)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._@:-]+?)(:\d{1,5})?\/?$/;
const listenPattern = /^(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/;

function parseListen(value: unknown, context: z.RefinementCtx): ListenAddress {
  const match = typeof value === 'string' ? listenPattern.exec(value) : null;
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host !== undefined && port <= 65_535) return { host, port };
  context.addIssue({ code: 'custom', message: 'not a listening address' });
  return z.NEVER;
}

export const settings: readonly Setting[] = [
  {
    key: 'roles',
    argument: '<list>',
    description: 'what this process is: store, gateway or both',
    defaultText: 'store,gateway',
    expected: 'a comma-separated list of store and gateway',
    schema: z.preprocess(list, z.array(z.enum(['store', 'gateway'])).min(1)),
  },
  {
    key: 'store-id',
    argument: '<n>',
    description: "the store's number; needed on its first start, later its data directory knows it",
    defaultText: undefined,
    expected: 'a whole number from 1',
    schema: z.preprocess(wholeNumber, z.int().min(1)),
  },
  {
    key: 'data',
    argument: '<dir>',
    description: "the store's data directory, made if it is not there",
    defaultText: 'flotilla-data',
    expected: 'a directory',
    schema: z.string().min(1),
  },
  {
    key: 'nats',
    argument: '<urls>',
    description: 'NATS servers, separated by commas',
    defaultText: 'nats://127.0.0.1:4222',
    expected: 'a comma-separated list like nats://10.0.0.1:4222,nats://10.0.0.2:4222',
    schema: z.preprocess(list, z.array(z.string().regex(natsUrl)).min(1)),
  },
  {
    key: 'nats-user',
    argument: '<name>',
    description: 'user that nats-server knows this process by',
    defaultText: undefined,
    expected: 'a name',
    schema: z.string().min(1),
  },
  {
    key: 'nats-password',
    argument: '<text>',
    description: 'its password; better given by the environment or the file than as a flag',
    defaultText: undefined,
    expected: 'a password',
    schema: z.string().min(1),
    secret: true,
  },
  {
    key: 'nats-token',
    argument: '<text>',
    description: 'token that nats-server takes instead of a user; better not given as a flag',
    defaultText: undefined,
    expected: 'a token',
    schema: z.string().min(1),
    secret: true,
  },
  {
    key: 'nats-nkey-seed',
    argument: '<seed>',
    description: "instead: the seed of a user's nkey; better not given as a flag",
    defaultText: undefined,
    expected: 'a seed, SU…',
    schema: z.string().min(1),
    secret: true,
  },
  {
    key: 'nats-credentials',
    argument: '<file>',
    description: 'instead: a JWT with its seed, as nsc writes them',
    defaultText: undefined,
    expected: 'a file name',
    schema: z.string().min(1),
  },
  ...(
    [
      ['nats-ca', 'certificates that nats-server is checked against'],
      ['nats-cert', "this process's certificate"],
      ['nats-key', 'the key of its certificate'],
    ] as const
  ).map(([key, description]) => ({
    ...{ key, argument: '<file>', description: `${description} (PEM)`, defaultText: undefined },
    ...{ expected: 'a file name', schema: z.string().min(1) },
  })),
  {
    key: 'cluster',
    argument: '<name>',
    description: 'name of the cluster; part of every NATS subject',
    defaultText: 'main',
    expected: 'up to 63 letters, digits, "-" and "_"',
    schema: z.string().regex(/^[A-Za-z0-9_-]{1,63}$/),
  },
  {
    key: 'machine',
    argument: '<name>',
    description:
      'label of this machine; replicas of a range share one only where there are too few',
    defaultText: 'the host name',
    expected: 'a name of 1 to 128 printable characters',
    schema: z.string().regex(/^[\x21-\x7e]{1,128}$/),
  },
  {
    key: 'zone',
    argument: '<name>',
    description:
      'label of the machines that may fail with this one; replicas of a range spread over zones',
    defaultText: undefined,
    expected: 'a name of 1 to 128 printable characters',
    schema: z.string().regex(/^[\x21-\x7e]{1,128}$/),
  },
  {
    key: 'dead-store-after',
    argument: '<seconds>',
    description:
      'a store silent for so long has its replicas replaced; 4 reports at least, the same on every store',
    defaultText: '300',
    expected: 'a whole number of seconds from 5',
    schema: z.preprocess(wholeNumber, z.int().min(5).max(1_000_000)),
  },
  {
    key: 'split-bytes',
    argument: '<size>',
    description: 'a range that holds more is cut in the middle; 0 is never',
    defaultText: '512MiB',
    expected: '0, or a size from 64KiB to 64GiB, like 16MiB or 16777216',
    schema: z.preprocess(
      byteCount,
      z.union([
        z.literal(0),
        z
          .int()
          .min(64 * 2 ** 10)
          .max(64 * 2 ** 30),
      ]),
    ),
  },
  {
    key: 'split-requests-per-second',
    argument: '<n>',
    description: 'a range that is asked more often is cut where that divides its load; 0 is never',
    defaultText: '20000',
    expected: 'a whole number from 0',
    schema: z.preprocess(wholeNumber, z.int().min(0)),
  },
  {
    key: 'gc-ttl',
    argument: '<s>',
    description: 'seconds for which versions of rows are kept that were replaced',
    defaultText: '600',
    expected: 'a whole number from 60 to 2592000',
    schema: z.preprocess(wholeNumber, z.int().min(60).max(2_592_000)),
  },
  {
    key: 'closed-timestamp-lag',
    argument: '<s>',
    description:
      'seconds after which nothing is written as of a time any more, and followers serve it',
    defaultText: '3',
    expected: 'a whole number from 1 to 60',
    schema: z.preprocess(wholeNumber, z.int().min(1).max(60)),
  },
  {
    key: 'snapshots-at-once',
    argument: '<n>',
    description: 'copies of large ranges that a store receives at once',
    defaultText: '2',
    expected: 'a whole number from 1 to 64',
    schema: z.preprocess(wholeNumber, z.int().min(1).max(64)),
  },
  {
    key: 'lease-moves-at-once',
    argument: '<n>',
    description: 'leases that balancing moves to or from a store at once',
    defaultText: '100',
    expected: 'a whole number from 1 to 1000',
    schema: z.preprocess(wholeNumber, z.int().min(1).max(1000)),
  },
  {
    key: 'store-report-every',
    argument: '<seconds>',
    description: 'how often a store writes its row; one that misses three is given nothing new',
    defaultText: '5',
    expected: 'a whole number of seconds from 1 to 60',
    schema: z.preprocess(wholeNumber, z.int().min(1).max(60)),
  },
  {
    key: 'listen',
    argument: '<host:port>',
    description: 'where the gateway takes PostgreSQL connections; port 0 picks a free one',
    defaultText: '127.0.0.1:26432',
    expected: 'HOST:PORT, for example 127.0.0.1:26432 or [::1]:26432',
    schema: z.unknown().transform(parseListen),
  },
  {
    key: 'http',
    argument: '<host:port>',
    description:
      'where /metrics, /health and /ready are served to whoever asks; port 0 picks a free one',
    defaultText: 'nowhere',
    expected: 'HOST:PORT, for example 127.0.0.1:9180',
    schema: z.unknown().transform(parseListen),
  },
  ...(
    [
      ['tls-cert', "the gateway's certificate, leaf first (PEM); clients may then use TLS"],
      ['tls-key', 'the key of its certificate (PEM)'],
      ['tls-client-ca', 'whose signature makes a client certificate good (PEM)'],
      ['access-rules', 'who may connect from where and how, in the form of pg_hba.conf'],
    ] as const
  ).map(([key, description]) => ({
    ...{ key, argument: '<file>', description, defaultText: undefined },
    ...{ expected: 'a file name', schema: z.string().min(1) },
  })),
  {
    key: 'temporary-directory',
    argument: '<directory>',
    description: 'where the gateway puts rows that a statement cannot hold in memory',
    defaultText: "the system's",
    expected: 'a directory',
    schema: z.string().min(1),
  },
  {
    key: 'log-level',
    argument: '<level>',
    description: 'least severe log line that is written: debug, info, warn or error',
    defaultText: 'info',
    expected: 'debug, info, warn or error',
    schema: z.enum(['debug', 'info', 'warn', 'error']),
  },
  {
    key: 'log-pretty',
    argument: undefined,
    description: 'log lines for people instead of JSON',
    defaultText: 'false',
    expected: 'true or false',
    schema: z.preprocess(flag, z.boolean()),
  },
  {
    key: 'ready-file',
    argument: '<file>',
    description: 'write {"pid","ports"} there once the process serves',
    defaultText: undefined,
    expected: 'a file name',
    schema: z.string().min(1),
  },
];

export function environmentName(key: string): string {
  return `FLOTILLA_${key.toUpperCase().replaceAll('-', '_')}`;
}
