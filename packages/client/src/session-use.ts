/** Where the SDK's statements run: a session for one statement, a connection's own session, or that of a transaction. */
import { DbError } from '@flotilla/base';
import type { SqlSession } from '@flotilla/sql';

/** How often statements of a session have been run again by the engine, because others were in their way. */
export class Retries {
  count = 0;
  readonly onRetry = (): void => {
    this.count++;
  };
}

/** One use of a session, by one statement or stream. */
export interface SessionUse {
  readonly session: SqlSession;
  readonly retries: Retries;
  /** Runs `work` when whatever uses the session at the moment has come to rest. */
  turn<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Called after a statement. @throws DbError INVALID_ARGUMENT for one that made no sense here */
  check(): void;
  /** The session is not needed any more by this use. Idempotent. */
  end(): void;
}

/** @throws DbError CLOSED */
export type UseSession = () => SessionUse;

/** A session for every statement, so that statements run side by side; making one is cheap. */
export function sessionForEach(createSession: (retries: Retries) => SqlSession): UseSession {
  return () => {
    const retries = new Retries();
    const session = createSession(retries);
    return {
      session,
      retries,
      turn: (work) => work(),
      check() {
        if (session.transactionStatus !== 'idle')
          throw new DbError(
            'INVALID_ARGUMENT',
            'BEGIN has no effect here, because each statement has a session of its own; see openConnection',
          );
      },
      end: () => session.close(),
    };
  };
}

/** One session for all: its statements run one after the other, in the order in which they were begun. */
export function sharedSession(
  session: SqlSession,
  check: () => void,
  retries: Retries = new Retries(),
): UseSession {
  let last: Promise<unknown> = Promise.resolve();
  const use: SessionUse = {
    session,
    retries,
    turn(work) {
      const turn = last.then(work);
      last = turn.then(ignore, ignore);
      return turn;
    },
    check,
    end() {},
  };
  return () => use;
}

function ignore(): void {}
