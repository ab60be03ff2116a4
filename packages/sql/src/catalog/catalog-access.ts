/** The catalog as expressions of one session see it: names by the session's search_path, and the session's sequences. */
import type { AdvisoryAccess, AdvisoryFacts } from '../advisory/advisory-facts.ts';
import type { ClusterInspector } from '../cluster/cluster-inspector.ts';
import type { SessionFacts } from '../cluster/session-facts.ts';
import type { CursorFacts } from '../cursors/cursor-facts.ts';
import type { DroppedRow } from '../dropped/dropped-rows.ts';
import type { PreparedFacts } from '../named-statements.ts';
import type { NotificationAccess } from '../notifications/notification-access.ts';
import type { Authority } from '../roles/authority.ts';
import type { Notice } from '../session-api.ts';
import type { Datum } from '../types/values.ts';
import type { SequenceDescriptor } from './descriptor.ts';
import type { NameResolver } from './name-resolver.ts';
import type { SequenceState } from './sequences.ts';

export interface CatalogAccess {
  readonly names: NameResolver;
  readonly sequences: SequenceAccess;
  /** What the present user may do. */
  readonly authority: Authority;
  /** As `authority`, of another role. */
  authorityOf(role: string): Authority;
  readonly backend: BackendAccess;
}

/** The process and the session that an expression is evaluated in. */
export interface BackendAccess {
  /** Undefined: the engine knows of none. */
  readonly cluster: ClusterInspector | undefined;
  /** What pg_backend_pid() answers. */
  readonly processId: number;
  /** When the engine was made. Microseconds since 2000. */
  readonly startedAt: bigint;
  readonly advisory: AdvisoryAccess;
  /** Of the cluster. */
  advisoryLocks(): Promise<AdvisoryFacts[]>;
  /** Of the cluster: what is not deleted yet. Throws DbError. */
  droppedStorage(): Promise<readonly DroppedRow[]>;
  /** Of all processes that answer. Throws DbError. */
  sessions(): Promise<readonly SessionFacts[]>;
  /** @returns whether the session was there to be told. Throws DbError. */
  signal(processId: number, kind: 'cancel' | 'terminate'): Promise<boolean>;
  readonly notifications: NotificationAccess;
  /** Tells the user, beside the result. */
  notice(notice: Notice): void;
  /** Of this session. */
  cursors(): Iterable<CursorFacts>;
  /** Of this session. */
  statements(): Iterable<PreparedFacts>;
  /**
   * As SET does, or SET LOCAL. @param value null: the default again. @returns what the setting is then
   * Throws 22023, 42704, 0A000.
   */
  setSetting(name: string, value: string | null, local: boolean): string;
  /** How things were then, the nearest replica surely knows. Microseconds since 2000. */
  followerReadTime(): bigint;
  /** What everything that this session has seen was committed before: for `flotilla.session_token`, of any session. */
  sessionToken(): string;
  /** Throws 57014. Unit: ms. */
  sleep(ms: number, signal: AbortSignal | undefined): Promise<void>;
  /** Of this run of a statement. */
  readonly work: WorkAccess;
}

/** Work of functions that leaves the process or takes time: cluster/outside-work.ts. */
export interface WorkAccess {
  /**
   * The result of work that is done; throws PendingWork where it is not.
   * @param name of the work: function and arguments
   */
  result(name: string, work: (signal: AbortSignal | undefined) => Promise<Datum>): Datum;
  /** An evaluation begins. */
  begin(): void;
  /** The evaluation that began last is done again. */
  rewind(): void;
}

/** Methods that need what is not at hand throw PendingWork (execute/pending.ts). */
export interface SequenceAccess {
  /** Throws 2200H. */
  nextval(sequence: SequenceDescriptor): bigint;
  /** Throws 55000. */
  currval(sequence: SequenceDescriptor): bigint;
  /** Throws 55000. */
  lastval(): bigint;
  /** Throws 22003. */
  setval(sequence: SequenceDescriptor, value: bigint, called: boolean): bigint;
  state(sequence: SequenceDescriptor): Promise<SequenceState>;
  /** An evaluation begins. */
  begin(): void;
  /** The evaluation that began last is done again: it is to get the same values. */
  rewind(): void;
}
