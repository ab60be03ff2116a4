/** What a session is made from: what its user brings, and what it shares with the other sessions of its engine. */
import type { Clock, Logger, Prng } from '@flotilla/base';
import type { AdvisoryLocks } from '../advisory/advisory-locks.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { CatalogIds } from '../catalog/ids.ts';
import type { SettingValues } from '../catalog/role.ts';
import type { Sequences } from '../catalog/sequences.ts';
import type { ClusterInspector } from '../cluster/cluster-inspector.ts';
import type { SessionDirectory } from '../cluster/session-directory.ts';
import type { SessionClient, SessionRegistry } from '../cluster/session-facts.ts';
import type { DroppedStorage } from '../dropped/dropped-storage.ts';
import type { AutoAnalyze } from '../execute/auto-analyze.ts';
import type { Runner } from '../execute/runner.ts';
import type { KvDatabase } from '../kv-transaction.ts';
import type { Loading } from '../loading/loading.ts';
import type { NotificationHub } from '../notifications/notification-hub.ts';
import type { Parser } from '../parse/parser.ts';
import type { Preparer } from '../prepare.ts';
import type { SqlSessionEvents } from '../session-api.ts';
import type { TemporarySchemas } from '../temporary/temporary-schemas.ts';

export interface SessionOptions {
  readonly user: string;
  /**
   * Its name. One that no database has means the initial database, where nobody has found out which it is: who embeds the
   * engine need not make one.
   */
  readonly database: string;
  /** Which it is, as `Logins.admit` says. The session is refused (3D000) once that has been dropped. */
  readonly databaseOid?: number;
  readonly applicationName?: string;
  /** Who is at the other end. Absent: nobody that anybody would look for. */
  readonly client?: SessionClient;
  readonly events?: Partial<SqlSessionEvents>;
  /**
   * Whoever has shown that he is `user`: privileges are those of the role of this name. Default: false: a name that no
   * role has may do everything, as befits those who were let in unasked.
   */
  readonly authenticated?: boolean;
  /** Settings that it begins with, from the role and the database. Those that are no good any more are passed over. */
  readonly settings?: SettingValues;
  /** Where the transactions of its blocks come from: a caller's own, shared with what else it does in them. */
  readonly transactions?: KvDatabase;
}

export interface SessionShared {
  readonly database: KvDatabase;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  readonly catalog: Catalog;
  readonly cluster: ClusterInspector | undefined;
  readonly sessions: SessionRegistry;
  /** Those of all processes. */
  readonly allSessions: SessionDirectory;
  readonly notifications: NotificationHub;
  /** Microseconds since 2000. */
  readonly startedAt: bigint;
  readonly ids: CatalogIds;
  readonly sequences: Sequences;
  readonly advisory: AdvisoryLocks;
  readonly temporary: TemporarySchemas;
  readonly loading: Loading;
  readonly dropped: DroppedStorage;
  readonly parser: Parser;
  readonly preparer: Preparer;
  readonly runner: Runner;
  /** Undefined: tables are analyzed by those alone who say so. */
  readonly autoAnalyze: AutoAnalyze | undefined;
}
