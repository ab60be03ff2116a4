/** What a gateway counts of the work of all of its connections. A statement costs it a few increments. */
import { Buckets, type Clock } from '@flotilla/base';

export class GatewayCounters {
  /** Clients that have connected. */
  connections = 0;
  /** Statements that were completed, by the first word of their tags: `SELECT`, `CREATE`, … */
  readonly statements: Map<string, number> = new Map();
  /** Errors that clients were told, by class: the first two characters of their SQLSTATEs. */
  readonly errors: Map<string, number> = new Map();
  /** Statements that ran again because others were in their way. */
  retries = 0;
  /** From when a statement begins until its rows have been sent, or the portal is suspended. Unit: ms. */
  readonly statementTimes: Buckets = new Buckets();
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Monotonic. Unit: ms. */
  nowMs(): number {
    return this.clock.nowMs();
  }

  /** @param tag as the client is told */
  completed(tag: string): void {
    const end = tag.indexOf(' ');
    const word = end < 0 ? tag : tag.slice(0, end);
    this.statements.set(word, (this.statements.get(word) ?? 0) + 1);
  }

  failed(sqlState: string): void {
    const errorClass = sqlState.slice(0, 2);
    this.errors.set(errorClass, (this.errors.get(errorClass) ?? 0) + 1);
  }
}
