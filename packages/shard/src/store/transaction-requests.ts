/** Which room serves which request of a transaction. Called by the request server; decides nothing. */
import type { flotilla } from '../../gen/kv.js';
import type { TransactionChecks } from '../reads/transaction-checks.ts';
import type { TransactionReads } from '../reads/transaction-reads.ts';
import { type Answer, type Caller, RefusalReason, refusal } from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import type { Attempt } from '../replica/leaseholder-core.ts';
import type { Replica } from '../replica/replica.ts';
import { nameOf } from '../state/transaction-rows.ts';
import type { LiveTransactions } from '../transaction/live-transactions.ts';

type Request = flotilla.kv.Request;
type InspectRequest = flotilla.kv.InspectRequest.$Properties;

/** Undefined: the answer is sent later. */
interface Served {
  readonly answer: Answer | undefined;
}

export class TransactionRequests {
  private readonly reads: TransactionReads;
  private readonly checks: TransactionChecks;
  private readonly live: LiveTransactions;
  private readonly inspect: (request: InspectRequest) => Answer;

  constructor(
    { reads, checks }: { reads: TransactionReads; checks: TransactionChecks },
    live: LiveTransactions,
    inspect: (request: InspectRequest) => Answer,
  ) {
    this.reads = reads;
    this.checks = checks;
    this.live = live;
    this.inspect = inspect;
  }

  /** @returns undefined: not a request of a transaction */
  dispatch(
    caller: Caller,
    { replica, leaseholder }: { readonly replica: Replica; readonly leaseholder: Leaseholder },
    request: Request,
  ): Served | undefined {
    const { transactions } = leaseholder;
    const header = request.transaction ?? undefined;
    const { prepare, refresh, queryTransaction, decide, prevent, resolve } = request;
    const begin = (evaluate: (attempt: Attempt) => Answer | undefined): Served => {
      const attempt: Attempt = { caller, waitUntilMs: 0, evaluate: () => evaluate(attempt) };
      return { answer: leaseholder.begin(attempt) };
    };
    if (queryTransaction)
      return { answer: this.checks.query(caller, leaseholder, queryTransaction) };
    if (decide) return begin(() => transactions.evaluateDecide(caller, decide));
    if (prevent) return begin(() => transactions.evaluatePrevent(caller, prevent));
    if (resolve) return begin(() => transactions.evaluateResolve(caller, resolve));
    if (header === undefined) {
      if (!prepare && !refresh) return undefined;
      return { answer: refusal(RefusalReason.INVALID, 'the transaction is not named') };
    }
    if (request.get) return { answer: this.reads.get(caller, replica, request.get, header) };
    if (request.scan) return { answer: this.reads.scan(caller, replica, request.scan, header) };
    if (refresh) return { answer: this.checks.refresh(caller, leaseholder, refresh, header) };
    if (prepare) return begin((attempt) => transactions.evaluatePrepare(attempt, prepare, header));
    return undefined;
  }

  /** To the store as a whole. @returns undefined: not such a request */
  serveStore(clientId: string, { releaseLocks, keepLocks, inspect }: Request): Answer | undefined {
    if (releaseLocks) {
      for (const id of releaseLocks.transactionIds ?? []) this.live.end(nameOf(id));
      return { releaseLocks: {} };
    }
    if (keepLocks) {
      const unknown = this.live.renew(clientId, keepLocks.transactions ?? []);
      return { keepLocks: { unknown } };
    }
    if (inspect) return this.inspect(inspect);
    return undefined;
  }
}
