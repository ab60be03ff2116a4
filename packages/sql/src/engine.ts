/** The SQL engine of one process: what its sessions share. Wires parser, catalog, planner and executor together. */
import { type Clock, type Logger, osPrng, type Prng, silentLogger } from '@flotilla/base';
import { AdvisoryLocks } from './advisory/advisory-locks.ts';
import { Catalog } from './catalog/catalog.ts';
import { CatalogIds } from './catalog/ids.ts';
import { CatalogLease } from './catalog/lease.ts';
import { Sequences } from './catalog/sequences.ts';
import type { ClusterInspector } from './cluster/cluster-inspector.ts';
import type { Peers } from './cluster/peers.ts';
import { ProcessDirectory } from './cluster/process-directory.ts';
import { type RemoteCancels, remoteCancels } from './cluster/remote-cancels.ts';
import { SessionDirectory } from './cluster/session-directory.ts';
import { SessionRegistry } from './cluster/session-facts.ts';
import { DroppedStorage } from './dropped/dropped-storage.ts';
import { AutoAnalyze, defaultNaptimeMs } from './execute/auto-analyze.ts';
import { ClockRowIds } from './execute/row-ids.ts';
import { Runner } from './execute/runner.ts';
import { SpillSpace, type SpillSpaceOptions } from './execute/spill/spill-space.ts';
import type { KvDatabase } from './kv-transaction.ts';
import { loadFlushBytes } from './limits.ts';
import { Loading } from './loading/loading.ts';
import { NotificationHub } from './notifications/notification-hub.ts';
import { loadGrammar } from './parse/grammar.ts';
import { Parser } from './parse/parser.ts';
import { Preparer } from './prepare.ts';
import { CatalogLogins, type Logins } from './roles/logins.ts';
import type { SessionOptions, SessionShared } from './session/session-options.ts';
import { EngineSession } from './session.ts';
import type { SqlSession } from './session-api.ts';
import { TemporarySchemas } from './temporary/temporary-schemas.ts';
import { timestampFromUnixMs } from './types/timestamp.ts';

export type { SessionOptions } from './session/session-options.ts';

export interface SqlEngineOptions {
  readonly database: KvDatabase;
  readonly clock: Clock;
  readonly logger?: Logger;
  /** The cluster below, for people: schema `flotilla`. Default: none is known. */
  readonly cluster?: ClusterInspector;
  /** For jitter and row ids. Default: seeded by the operating system. */
  readonly prng?: Prng;
  /** Whether it holds a lease on the catalog's version, so that statements need not read it. Default: false. */
  readonly catalogLease?: boolean;
  /** Where statements put what they cannot hold in memory. Default: nowhere, and such a statement fails (53200). */
  readonly spill?: SpillSpaceOptions;
  /** What one statement may hold in memory before it does. Unit: bytes. Default: 48 MiB. */
  readonly spillAtBytes?: number;
  /** Whether tables that change are analyzed now and then. Default: false. */
  readonly autoAnalyze?: boolean | { readonly naptimeMs: number };
  /** What a transaction keeps in memory of its writes to storage that it alone knows of. Unit: bytes. Default: 4 MiB. */
  readonly loadFlushBytes?: number;
  /** Whether it looks for what processes have left that died: loads, and dropped storage. Default: false. */
  readonly sweeps?: boolean;
  /** Other processes that run SQL. Default: nobody is heard of; whoever changes the catalog waits for their leases. */
  readonly peers?: Peers;
}

export interface SqlEngine {
  /** A new session with settings of its own. One that names its client is listed until it is closed. */
  createSession(options: SessionOptions): SqlSession;
  /** Who may have one, for those who let users in. */
  readonly logins: Logins;
  /** Other processes that have sessions, for a gateway. */
  readonly cancels: RemoteCancels;
  /** Written to temporary files since it was made. */
  spilledBytes(): number;
  /** Its sessions go on; but nobody has to wait for this process any more. */
  close(): Promise<void>;
}

/** Loads the grammar (WebAssembly, tens of milliseconds the first time) and makes an engine over `database`. */
export async function createSqlEngine(options: SqlEngineOptions): Promise<SqlEngine> {
  await loadGrammar();
  const { database, clock, logger = silentLogger, prng = osPrng() } = options;
  const catalog = new Catalog(database);
  const lease = options.catalogLease === true ? leaseOn(catalog, options) : undefined;
  const { peers } = options;
  const processes = new ProcessDirectory({ database, clock, prng, logger, peers });
  const sessions = new SessionRegistry();
  const ids = new CatalogIds(database);
  const flushBytes = options.loadFlushBytes ?? loadFlushBytes;
  const loading = new Loading({ database, catalog, clock, prng, logger, flushBytes });
  const dropped = new DroppedStorage({ database, catalog, clock, prng, logger });
  if (options.sweeps === true) {
    loading.watch();
    dropped.watch();
  }
  const spill = options.spill === undefined ? undefined : new SpillSpace(options.spill);
  const shared: SessionShared = {
    database,
    clock,
    prng,
    logger,
    catalog,
    cluster: options.cluster,
    sessions,
    allSessions: new SessionDirectory({ clock, peers, processes, registry: sessions }),
    notifications: new NotificationHub({ peers, directory: processes, logger }),
    startedAt: timestampFromUnixMs(clock.wallMs()),
    ids,
    sequences: new Sequences(database),
    advisory: new AdvisoryLocks({ database, clock, prng, logger }),
    loading,
    dropped,
    temporary: new TemporarySchemas({ database, catalog, ids, dropped, clock, prng, logger }),
    parser: new Parser(),
    preparer: new Preparer(catalog),
    autoAnalyze: autoAnalyzeOf(catalog, options),
    runner: new Runner({
      ...{ database, catalog, clock, prng, rowIds: new ClockRowIds(clock, prng) },
      spill,
      spillAtBytes: options.spillAtBytes,
    }),
  };
  const now = () => timestampFromUnixMs(clock.wallMs());
  return {
    createSession: (session) => new EngineSession(shared, session),
    logins: new CatalogLogins({ database, catalog, now }),
    cancels: remoteCancels(peers, processes, logger),
    spilledBytes: () => spill?.written ?? 0,
    async close() {
      await shared.autoAnalyze?.close();
      await shared.temporary.close();
      await loading.close();
      await dropped.close();
      await lease?.close();
      await shared.advisory.close();
      await processes.leave();
    },
  };
}

function autoAnalyzeOf(catalog: Catalog, options: SqlEngineOptions): AutoAnalyze | undefined {
  const { database, clock, autoAnalyze = false, logger = silentLogger, prng = osPrng() } = options;
  if (autoAnalyze === false) return undefined;
  const naptimeMs = autoAnalyze === true ? defaultNaptimeMs : autoAnalyze.naptimeMs;
  return new AutoAnalyze({ database, catalog, clock, prng, logger, naptimeMs });
}

function leaseOn(catalog: Catalog, options: SqlEngineOptions): CatalogLease {
  const { database, clock, peers, logger = silentLogger, prng = osPrng() } = options;
  const onVersion = (version: number): void => {
    // Whoever needs it earlier, or after this has failed, reads it himself.
    catalog.load(version).catch((error: unknown) => {
      logger.warn({ error: String(error) }, 'catalog_not_loaded');
    });
  };
  const lease = new CatalogLease({ database, clock, prng, logger, peers, onVersion });
  catalog.relyOn(lease);
  return lease;
}
