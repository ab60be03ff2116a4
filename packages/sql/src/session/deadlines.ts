/** Begins statements: notes them in the session's activity, and turns statement_timeout into a signal. */
import type { Clock } from '@flotilla/base';
import type { SessionActivity } from '../cluster/session-activity.ts';
import { TimedSignal } from './timed-signal.ts';

/** What it asks of the session's context. */
interface Session {
  readonly settings: { readonly statementTimeoutMs: number };
  readonly shared: { readonly clock: Clock };
  statementEnded(): void;
}

export interface Deadline {
  readonly signal: AbortSignal | undefined;
  /** The statement is over. Idempotent. */
  end(): void;
}

/** A signal is renewed after so many statements, so that what has not stopped listening to it does not outlive many. */
const signalUsesMax = 256;

export class Deadlines {
  private readonly session: Session;
  private readonly activity: Pick<SessionActivity, 'begin' | 'end'>;
  private readonly ended: () => void;
  /** Of statements that have ended: for the next one. */
  private free: TimedSignal | undefined;
  private closed = false;

  constructor(session: Session, activity: Pick<SessionActivity, 'begin' | 'end'>) {
    this.session = session;
    this.activity = activity;
    this.ended = () => {
      activity.end();
      session.statementEnded();
    };
  }

  /** A statement begins. statement_timeout as a signal that also follows the caller's. */
  begin(outer: AbortSignal | undefined, text: string): Deadline {
    this.activity.begin(text);
    const ms = this.session.settings.statementTimeoutMs;
    if (ms === 0) return { signal: outer, end: this.ended };
    const timed = this.take(outer);
    timed.begin(ms);
    let running = true;
    const end = (): void => {
      if (running) this.giveBack(timed);
      running = false;
      this.ended();
    };
    return { signal: timed.signal, end };
  }

  /** The session ends. */
  close(): void {
    this.closed = true;
    this.free?.close();
    this.free = undefined;
  }

  /** Nobody else's until it is given back: statements may run within others, and portals beside each other. */
  private take(outer: AbortSignal | undefined): TimedSignal {
    const { free } = this;
    this.free = undefined;
    if (free !== undefined && free.outer === outer && !free.signal.aborted) return free;
    free?.close();
    return new TimedSignal(this.session.shared.clock, outer);
  }

  private giveBack(timed: TimedSignal): void {
    timed.end();
    const isSpent = this.closed || timed.signal.aborted || timed.uses >= signalUsesMax;
    if (isSpent || this.free !== undefined) timed.close();
    else this.free = timed;
  }
}
