/** What a client is told of its cluster's network: checked, and files read, before anything is dialled. */
import { type Clock, DbError, type Disk, type Logger, NodeDisk } from '@flotilla/base';
import { credentialsOf, type NatsCredentials, type NatsOptions } from '@flotilla/router';
import type { CreateFlotillaOptions } from './create-flotilla.ts';
import type { OnOperation } from './operations.ts';

/** PEM, or the name of a file with it. */
export interface TlsOptions {
  /** Whom to trust. Default: what the system trusts. */
  readonly ca?: string;
  readonly caFile?: string;
  /** This client's own certificate, where the server asks for one. */
  readonly cert?: string;
  readonly certFile?: string;
  /** Of that certificate. */
  readonly key?: string;
  readonly keyFile?: string;
}

/** Who this program is to NATS: `user` with `password`, or one of the others. */
export interface ClusterConnectOptions extends NatsCredentials {
  readonly embedded?: false;
  /** One address or several: `nats://host:port`. Any one that answers will do. */
  readonly servers: string | readonly string[];
  /** The cluster's name, as its stores were started with. Default: `main`. */
  readonly cluster?: string;
  /** What the nats-server calls this connection in its own reports. Default: `flotilla-client`. */
  readonly name?: string;
  /** For finding a nats-server. Unit: ms. Default: 10,000. */
  readonly timeoutMs?: number;
  /** `true`: with what the system trusts. Default: TLS where the server wants it. */
  readonly tls?: boolean | TlsOptions;
  readonly logger?: Logger;
  /** Called after every operation, with what it came to: for metrics. */
  readonly onOperation?: OnOperation;
  /** Where statements put rows that they cannot hold in memory. Default: nowhere, and they fail (SQLSTATE 53200). */
  readonly temporaryDirectory?: string;
}

/** Files of this process in a directory: for `CreateFlotillaOptions`. */
export function temporaryFiles(
  directory: string | undefined,
  clock: Clock,
): Pick<CreateFlotillaOptions, 'spill'> {
  if (directory === undefined) return {};
  const prefix = `flotilla-${process.pid}-${clock.wallMs()}-`;
  return { spill: { disk: new NodeDisk(), directory, prefix } };
}

type Connection = Omit<NatsOptions, 'cluster' | 'name' | 'logger' | 'firstConnectTimeoutMs'>;

/** @throws DbError INVALID_ARGUMENT: no address, a file for TLS that is not there, things that do not go together */
export async function connectionOf(
  options: ClusterConnectOptions,
  disk: Disk,
): Promise<Connection> {
  // Of programs without types there may be none.
  const named: string | readonly string[] | undefined = options.servers;
  const servers = typeof named === 'string' ? [named] : [...(named ?? [])];
  if (servers.length === 0 || servers.some((server) => server.trim() === ''))
    throw new DbError('INVALID_ARGUMENT', 'connect needs the address of a nats-server');
  const tls = await tlsOf(options.tls, disk);
  return {
    servers,
    ...credentialsOf(options),
    ...(tls === undefined ? {} : { tls }),
  };
}

async function tlsOf(
  tls: boolean | TlsOptions | undefined,
  disk: Disk,
): Promise<{ ca?: string; cert?: string; key?: string } | undefined> {
  if (tls === undefined || tls === false) return undefined;
  if (tls === true) return {};
  const ca = await contentOf(disk, 'ca', tls.ca, tls.caFile);
  const cert = await contentOf(disk, 'cert', tls.cert, tls.certFile);
  const key = await contentOf(disk, 'key', tls.key, tls.keyFile);
  if ((cert === undefined) !== (key === undefined))
    throw new DbError('INVALID_ARGUMENT', 'a certificate for TLS and its key go together');
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

async function contentOf(
  disk: Disk,
  what: string,
  content: string | undefined,
  file: string | undefined,
): Promise<string | undefined> {
  if (file === undefined) return content;
  if (content !== undefined)
    throw new DbError('INVALID_ARGUMENT', `${what} or ${what}File, not both`);
  const bytes = await disk.readFile(file).catch((cause: unknown) => {
    throw new DbError('INVALID_ARGUMENT', `${what}File ${file} cannot be read`, { cause });
  });
  if (bytes === undefined)
    throw new DbError('INVALID_ARGUMENT', `${what}File ${file} is not there`);
  return Buffer.from(bytes).toString('utf8');
}
