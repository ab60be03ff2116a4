/** The sessions of one engine, for flotilla.sessions and pg_stat_activity: who is there and what they do. */

export interface SessionClient {
  /** What pg_backend_pid() answers, and cancel requests name. */
  readonly processId: number;
  /** Of the client, as its socket says. */
  readonly address?: string;
  readonly port?: number;
}

export type SessionState =
  | 'active'
  | 'idle'
  | 'idle in transaction'
  | 'idle in transaction (aborted)';

/** Times in microseconds since 2000. */
export interface SessionFacts {
  readonly client: SessionClient;
  readonly user: string;
  readonly database: string;
  readonly applicationName: string;
  readonly state: SessionState;
  readonly startedAt: bigint;
  readonly stateSince: bigint;
  readonly transactionStartedAt: bigint | undefined;
  /** Of the statement that runs, or ran last. */
  readonly statementStartedAt: bigint | undefined;
  readonly statement: string;
}

export interface ListedSession {
  readonly processId: number;
  facts(): SessionFacts;
  cancel(): void;
  terminate(): void;
}

/** Sessions that name their client are listed until they are closed. */
export class SessionRegistry {
  private readonly listed = new Set<ListedSession>();

  add(session: ListedSession): void {
    this.listed.add(session);
  }

  remove(session: ListedSession): void {
    this.listed.delete(session);
  }

  /** @returns whether the session is here */
  signal(processId: number, kind: 'cancel' | 'terminate'): boolean {
    for (const session of this.listed) {
      if (session.processId !== processId) continue;
      session[kind]();
      return true;
    }
    return false;
  }

  *all(): Iterable<SessionFacts> {
    for (const session of this.listed) yield session.facts();
  }
}
