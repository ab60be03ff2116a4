/** What one session is doing, kept by itself and read when somebody asks. A statement costs it two assignments. */
import type { SqlSessionEvents, TransactionStatus } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { timestampFromUnixMs } from '../types/timestamp.ts';
import type { ListedSession, SessionClient, SessionFacts, SessionState } from './session-facts.ts';

export interface ActivitySources {
  /** Since 1970. */
  nowMs(): number;
  status(): TransactionStatus;
  /** Microseconds since 2000. */
  transactionStartedAt(): bigint | undefined;
  applicationName(): string;
}

/** A longer text is cut, as PostgreSQL cuts it (track_activity_query_size). Unit: characters. */
const shownTextMax = 1024;

/** Nobody is shown a password, not even his own. */
function shownText(statement: string): string {
  return /\bpassword\b/i.test(statement)
    ? '<a statement about a password>'
    : statement.slice(0, shownTextMax);
}

export class SessionActivity implements ListedSession {
  private readonly who: {
    readonly user: string;
    readonly database: string;
    readonly client?: SessionClient;
    readonly events?: Partial<SqlSessionEvents>;
  };
  private readonly sources: ActivitySources;
  private readonly createdAtMs: number;
  private statement = '';
  private beganAtMs: number | undefined;
  private endedAtMs: number | undefined;

  constructor(who: SessionActivity['who'], sources: ActivitySources) {
    this.who = who;
    this.sources = sources;
    this.createdAtMs = sources.nowMs();
  }

  get processId(): number {
    return this.who.client?.processId ?? 0;
  }

  cancel(): void {
    this.who.events?.onCancel?.();
  }

  terminate(): void {
    const reason = 'terminating connection due to administrator command';
    this.who.events?.onTerminate?.(new SqlError('57P01', reason));
  }

  begin(text: string): void {
    this.statement = text;
    this.beganAtMs = this.sources.nowMs();
    this.endedAtMs = undefined;
  }

  end(): void {
    this.endedAtMs ??= this.sources.nowMs();
  }

  facts(): SessionFacts {
    const { who, sources, beganAtMs, endedAtMs } = this;
    const active = beganAtMs !== undefined && endedAtMs === undefined;
    return {
      client: who.client ?? { processId: 0 },
      user: who.user,
      database: who.database,
      applicationName: sources.applicationName(),
      state: active ? 'active' : restingStates[sources.status()],
      startedAt: timestampFromUnixMs(this.createdAtMs),
      stateSince: timestampFromUnixMs(endedAtMs ?? beganAtMs ?? this.createdAtMs),
      transactionStartedAt: sources.transactionStartedAt(),
      statementStartedAt: beganAtMs === undefined ? undefined : timestampFromUnixMs(beganAtMs),
      statement: shownText(this.statement),
    };
  }
}

const restingStates: Readonly<Record<TransactionStatus, SessionState>> = {
  idle: 'idle',
  active: 'idle in transaction',
  failed: 'idle in transaction (aborted)',
};
