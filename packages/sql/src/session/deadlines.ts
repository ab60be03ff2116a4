/** Begins statements: notes them in the session's activity, and turns statement_timeout into a signal. */
import type { SessionActivity } from '../cluster/session-activity.ts';
import { SqlError } from '../sql-error.ts';
import type { SessionContext } from './session-context.ts';

export interface Deadline {
  readonly signal: AbortSignal | undefined;
  /** The statement is over. */
  end(): void;
}

export class Deadlines {
  private readonly context: SessionContext;
  private readonly activity: SessionActivity;
  private readonly ended: () => void;

  constructor(context: SessionContext, activity: SessionActivity) {
    this.context = context;
    this.activity = activity;
    this.ended = () => {
      activity.end();
      context.statementEnded();
    };
  }

  /** A statement begins. statement_timeout as a signal that also follows the caller's. */
  begin(outer: AbortSignal | undefined, text: string): Deadline {
    const { ended } = this;
    this.activity.begin(text);
    const ms = this.context.settings.statementTimeoutMs;
    if (ms === 0) return { signal: outer, end: ended };
    const controller = new AbortController();
    const timer = this.context.shared.clock.setTimer(ms, () =>
      controller.abort(new SqlError('57014', 'canceling statement due to statement timeout')),
    );
    const signal =
      outer === undefined ? controller.signal : AbortSignal.any([outer, controller.signal]);
    const end = (): void => {
      timer.cancel();
      ended();
    };
    return { signal, end };
  }
}
