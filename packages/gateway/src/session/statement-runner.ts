/**
 * Runs statements of one session, one at a time, each under a signal that a cancel request, a lost client or a
 * shutdown aborts. Used by both query protocols.
 */
import { assert } from '@flotilla/base';
import {
  type Datum,
  type PreparedStatement,
  SqlError,
  type SqlSession,
  type StatementResult,
} from '@flotilla/sql';

import type { GatewayCounters } from '../gateway-counters.ts';

/** Making an AbortController costs about 3 µs, so statements share one; renewed so that no listener outlives many. */
const signalUsesMax = 256;

export class StatementRunner {
  private readonly session: SqlSession;
  private controller = new AbortController();
  private uses = 0;
  /** Set while a message that may be cancelled is being worked on. */
  private active = false;
  private runsReadOnly = false;
  private readonly counters: GatewayCounters;
  /** Of the statement that runs. Undefined: none does. */
  private startedAtMs: number | undefined;

  constructor(session: SqlSession, counters: GatewayCounters) {
    this.session = session;
    this.counters = counters;
  }

  /** Brackets the work on one message: only within does `abort` reach anything. */
  begin(): void {
    assert(!this.active, 'statements of a session run one after the other');
    this.active = true;
    if (this.controller.signal.aborted || this.uses >= signalUsesMax) {
      this.controller = new AbortController();
      this.uses = 0;
    }
  }

  end(): void {
    this.noteTime(undefined);
    this.active = false;
    this.runsReadOnly = false;
  }

  /** Whether a message is being worked on. */
  get busy(): boolean {
    return this.active;
  }

  /** The error that the running work was stopped with, if it was. */
  get abortReason(): SqlError | undefined {
    const { aborted, reason } = this.controller.signal;
    return aborted && reason instanceof SqlError ? reason : undefined;
  }

  /** Stops what runs now; nothing if nothing does. `reason` is what the client will read. */
  abort(reason: SqlError): void {
    if (this.active) this.controller.abort(reason);
  }

  /** As `abort`, if what runs now surely writes nothing. */
  abandonRead(reason: SqlError): void {
    if (this.runsReadOnly) this.abort(reason);
  }

  /** Throws the abort's reason if there was an abort. For loops that do not wait on the session. */
  throwIfAborted(): void {
    this.controller.signal.throwIfAborted();
  }

  /** The statement before has ended; the next one begins. @param nextAtMs undefined: there is none */
  private noteTime(nextAtMs: number | undefined): void {
    const { counters, startedAtMs } = this;
    if (startedAtMs !== undefined)
      counters.statementTimes.observe((nextAtMs ?? counters.nowMs()) - startedAtMs);
    this.startedAtMs = nextAtMs;
  }

  execute(prepared: PreparedStatement, parameters: readonly Datum[]): Promise<StatementResult> {
    assert(this.active, 'a statement runs within a message');
    this.uses++;
    this.noteTime(this.counters.nowMs());
    this.runsReadOnly = prepared.readOnly;
    return this.session.execute(prepared, parameters, { signal: this.controller.signal });
  }
}
