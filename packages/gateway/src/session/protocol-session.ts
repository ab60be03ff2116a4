/**
 * One authenticated client's conversation: takes messages one at a time and in order, answers into the link's output.
 * Owns the rule "after an error, skip to Sync". Knows nothing of sockets and framing.
 */
import { FatalError, InvariantViolation, type Logger } from '@flotilla/base';
import { type Notice, type Notification, SqlError, type SqlSession } from '@flotilla/sql';
import { defectFacts } from '../defect-facts.ts';
import type { GatewayCounters } from '../gateway-counters.ts';
import type { GatewayLimits } from '../limits.ts';
import { writeParameterStatus, writeReadyForQuery } from '../messages/backend-messages.ts';
import { toSqlError, writeErrorResponse, writeNoticeResponse } from '../messages/error-response.ts';
import type { MessageReader } from '../messages/message-reader.ts';
import { Frontend } from '../messages/message-types.ts';
import { ClientGone, type ClientLink } from './client-link.ts';
import { CopyInput, isCopyMessage } from './copy-input.ts';
import { ExtendedQuery } from './extended-query.ts';
import { Notifications } from './notifications.ts';
import type { RowTarget } from './row-cursor.ts';
import { runSimpleQuery } from './simple-query.ts';
import { StatementRunner } from './statement-runner.ts';

export interface ProtocolSessionOptions {
  readonly session: SqlSession;
  readonly link: ClientLink;
  readonly limits: GatewayLimits;
  readonly counters: GatewayCounters;
  readonly logger: Logger;
}

export class ProtocolSession {
  private readonly session: SqlSession;
  private readonly link: ClientLink;
  private readonly logger: Logger;
  private readonly counters: GatewayCounters;
  private readonly runner: StatementRunner;
  private readonly target: RowTarget;
  private readonly copyInput: CopyInput;
  private readonly extended: ExtendedQuery;
  private skipUntilSync = false;
  private closed = false;
  private changedParameters: Map<string, string> | undefined;
  /** What the client was told last. */
  private readonly toldParameters = new Map<string, string>();
  private readonly notifications: Notifications;
  /** Nothing is owed to the client: the last thing said was ReadyForQuery. */
  private atBoundary = true;

  constructor(options: ProtocolSessionOptions) {
    this.session = options.session;
    this.link = options.link;
    this.logger = options.logger;
    this.counters = options.counters;
    this.runner = new StatementRunner(options.session, options.counters);
    this.copyInput = new CopyInput(options.link);
    this.notifications = new Notifications(options.link, options.limits);
    this.target = {
      copyInput: this.copyInput,
      link: options.link,
      runner: this.runner,
      counters: options.counters,
      flushBytes: options.limits.flushBytes,
    };
    this.extended = new ExtendedQuery(options.session, this.target, options.limits);
  }

  /** Whether the conversation may end here without leaving a question unanswered. */
  get idle(): boolean {
    return this.atBoundary;
  }

  /** Whether an ErrorResponse may be waiting in the output for a Sync that is yet to come. */
  get failed(): boolean {
    return this.skipUntilSync;
  }

  /** How long the client may stay silent now, and what it is told if it does. Undefined: for ever. */
  get idleLimit(): { readonly ms: number; readonly error: () => SqlError } | undefined {
    const { idleTimeoutMs, transactionStatus } = this.session;
    if (idleTimeoutMs === 0) return undefined;
    const error = () =>
      transactionStatus === 'idle'
        ? new SqlError('57P05', 'terminating connection due to idle-session timeout')
        : new SqlError('25P03', 'terminating connection due to idle-in-transaction timeout');
    return { ms: idleTimeoutMs, error };
  }

  /** The client has left: its transaction is rolled back, once the running statement has ended. */
  close(): void {
    this.closed = true;
    if (!this.runner.busy) this.session.close();
  }

  /** Stops the running statement; the client will read `reason`. Nothing if none runs. */
  abort(reason: SqlError): void {
    this.runner.abort(reason);
  }

  /** As `abort`, unless the running statement may write. */
  abandonRead(reason: SqlError): void {
    this.runner.abandonRead(reason);
  }

  /** The client is told before the next ReadyForQuery, once, of the value that is in force by then. */
  parameterChanged(name: string, value: string): void {
    this.changedParameters ??= new Map();
    this.changedParameters.set(name, value);
  }

  /** Nothing if the client knows. */
  tellParameter(name: string, value: string): void {
    if (this.toldParameters.get(name) === value) return;
    this.toldParameters.set(name, value);
    writeParameterStatus(this.link.output, name, value);
  }

  /** The client hears of it as soon as nothing is owed to it and no transaction is open. */
  notification(notification: Notification): void {
    this.notifications.add(notification);
    const mayTell = () => this.atBoundary && this.session.transactionStatus === 'idle';
    if (mayTell()) void this.notifications.tell(mayTell);
  }

  notice(notice: Notice): void {
    writeNoticeResponse(this.link.output, notice);
  }

  /**
   * Works on one message.
   * @param type a type byte that clients may send, Terminate and Password excepted
   * @param syncFollows the next message is a Sync, and it is there already
   * @returns undefined if the work is done; otherwise a promise of that, during which no further message may be given.
   * Rejects (and throws) only what must end the process: InvariantViolation, FatalError.
   */
  handle(type: number, reader: MessageReader, syncFollows = false): Promise<void> | undefined {
    if (this.copyInput.active) return this.copyInput.handle(type, reader);
    if (type === Frontend.sync) return this.sync(reader);
    // Data of a copy that has failed is still on its way when the client hears of it.
    if (this.skipUntilSync || isCopyMessage(type)) return undefined;
    this.atBoundary = false;
    this.runner.begin();
    try {
      const pending = this.dispatch(type, reader, syncFollows);
      if (pending !== undefined) {
        const settled = this.settle(type, pending);
        return this.copyInput.expected ? this.copyInput.begun(settled) : settled;
      }
    } catch (error) {
      this.fail(error);
      if (answersWithReady(type)) this.ready();
    }
    this.runner.end();
    return undefined;
  }

  private dispatch(
    type: number,
    reader: MessageReader,
    syncFollows: boolean,
  ): Promise<void> | undefined {
    switch (type) {
      case Frontend.query:
        return this.query(reader);
      case Frontend.parse:
        return this.extended.parse(reader);
      case Frontend.bind:
        return this.extended.bind(reader);
      case Frontend.describe:
        this.extended.describe(reader);
        return undefined;
      case Frontend.execute:
        return this.extended.execute(reader, syncFollows);
      case Frontend.close:
        return this.extended.close(reader);
      case Frontend.flush:
        reader.end();
        this.link.flush();
        return undefined;
      case Frontend.functionCall:
        throw new SqlError('0A000', 'function calls by message are not supported', {
          hint: 'Use SELECT.',
        });
      default:
        return undefined;
    }
  }

  private async settle(type: number, pending: Promise<void>): Promise<void> {
    try {
      await pending;
    } catch (error) {
      this.fail(error);
    }
    this.runner.end();
    if (this.closed) this.session.close();
    if (answersWithReady(type)) this.ready();
  }

  private query(reader: MessageReader): Promise<void> {
    const text = reader.cString();
    reader.end();
    if (/copy/i.test(text)) this.copyInput.expected = true;
    return this.simpleQuery(text);
  }

  private async simpleQuery(text: string): Promise<void> {
    await this.extended.beforeSimpleQuery();
    await runSimpleQuery(this.session, this.target, text);
  }

  /** Sync ends the skipping, and the implicit transaction with its portals. It is always answered. */
  private sync(reader: MessageReader): Promise<void> | undefined {
    try {
      reader.end();
      const pending = this.extended.sync();
      if (pending !== undefined) return this.finishSync(pending);
    } catch (error) {
      this.fail(error);
    }
    this.ready();
    return undefined;
  }

  private async finishSync(pending: Promise<void>): Promise<void> {
    this.runner.begin();
    try {
      await pending;
    } catch (error) {
      this.fail(error);
    }
    this.runner.end();
    if (this.closed) this.session.close();
    this.ready();
  }

  private ready(): void {
    this.atBoundary = true;
    this.skipUntilSync = false;
    if (this.changedParameters !== undefined) this.tellParameters(this.changedParameters);
    const { transactionStatus } = this.session;
    if (transactionStatus === 'idle') this.notifications.tellAll();
    writeReadyForQuery(this.link.output, transactionStatus);
    this.link.flush();
  }

  private tellParameters(changed: ReadonlyMap<string, string>): void {
    for (const [name, value] of changed) this.tellParameter(name, value);
    this.changedParameters = undefined;
  }

  /** Reports what was thrown and goes on, unless the process must not. */
  private fail(thrown: unknown): void {
    if (thrown instanceof InvariantViolation || thrown instanceof FatalError) throw thrown;
    if (thrown instanceof ClientGone) return;
    const error = this.translate(thrown);
    if (error.severity === 'FATAL') {
      this.link.fatal(error);
      return;
    }
    this.counters.failed(error.code);
    writeErrorResponse(this.link.output, error);
    this.session.failTransaction();
    this.skipUntilSync = true;
  }

  private translate(thrown: unknown): SqlError {
    const stopped = this.runner.abortReason;
    if (stopped !== undefined && isAbort(thrown)) return stopped;
    const error = toSqlError(thrown);
    if (error !== undefined) return error;
    const facts = defectFacts(thrown);
    this.logger.error(facts, 'gateway_internal_error');
    return new SqlError('XX000', `internal error (${facts.name})`);
  }
}

/** Query and FunctionCall are answered with ReadyForQuery even when they fail; the others leave that to Sync. */
function answersWithReady(type: number): boolean {
  return type === Frontend.query || type === Frontend.functionCall;
}

/** What a stopped statement throws when it does not say why itself. An unknown outcome is never among these. */
function isAbort(thrown: unknown): boolean {
  if (thrown instanceof SqlError) return thrown.code === '57014';
  if (!(thrown instanceof Error)) return false;
  if (thrown.name === 'AbortError') return true;
  return (
    'code' in thrown &&
    thrown.code === 'CANCELLED' &&
    !('outcome' in thrown && thrown.outcome === 'unknown')
  );
}
