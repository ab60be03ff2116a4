/**
 * Transactions that write to several ranges, at the leaseholder: lays intents and the STAGING record, decides, prevents and
 * resolves. All of it is evaluated on what is applied plus what is proposed, replicated as physical changes, and answered
 * when applied: also what changes nothing, because the answer must not rest on something that may never be committed.
 * Everything is idempotent by the transaction's id, so nothing here needs a session.
 *
 * Why a promise holds. An intent is laid only above every version of its key and not below what others have read, and keeps
 * other writers off until it is resolved; so all intents of a STAGING record at its timestamp mean that the transaction can
 * commit there. Recovery asks each promise: found, or made impossible by a marker; then it sets the record, comparing with
 * what it saw. A record that was staged anew at another timestamp in between makes that fail.
 *
 * Why nobody waits for the record. When all promises are kept the coordinator announces it everywhere while it decides the
 * record. From then on an intent is as good as a version to those who read under a lock. A write that comes over one makes
 * it a version, and leaves a marker in the same command that tells recovery that the promise was kept: the record may still
 * say STAGING, and the intent is gone. The resolution that follows the decision takes the marker away. An announcement that
 * is lost, with its leaseholder or on its way, costs the wait that it would have saved.
 *
 * Why locks go last. Who waits for one is evaluated the moment it is free, and must find what was decided in its view.
 *
 * Why late messages do no harm. A prepare of a committed transaction comes below the versions that it made itself. One of an
 * aborted transaction finds the record or a marker, which are kept longer than a prepare is accepted; or lays an intent that
 * whoever meets it removes, because the record says ABORTED, or nothing, which is made to say so.
 */
import type { flotilla } from '../../gen/kv.js';
import type { Answer, Caller } from '../replica/answers.ts';
import type { Attempt, LeaseholderCore } from '../replica/leaseholder-core.ts';
import type { Intent } from '../state/transaction-rows.ts';
import { Decisions } from './decisions.ts';
import { Prepares } from './prepares.ts';
import { Resolutions } from './resolutions.ts';

type PrepareRequest = flotilla.kv.PrepareRequest.$Properties;
type DecideRequest = flotilla.kv.DecideRequest.$Properties;
type PreventRequest = flotilla.kv.PreventRequest.$Properties;
type ResolveRequest = flotilla.kv.ResolveRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

/** All of them return the answer if there is one at once; otherwise it is sent when the command has been applied. */
export class TransactionCommands {
  private readonly prepares: Prepares;
  private readonly decisions: Decisions;
  private readonly resolutions: Resolutions;

  constructor(core: LeaseholderCore) {
    this.prepares = new Prepares(core);
    this.resolutions = new Resolutions(core);
    this.decisions = new Decisions(core, this.resolutions);
  }

  evaluatePrepare(
    attempt: Attempt,
    request: PrepareRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    return this.prepares.evaluate(attempt, request, header);
  }

  evaluateDecide(caller: Caller, request: DecideRequest): Answer | undefined {
    return this.decisions.decide(caller, request);
  }

  evaluatePrevent(caller: Caller, request: PreventRequest): Answer | undefined {
    return this.decisions.prevent(caller, request);
  }

  evaluateResolve(caller: Caller, request: ResolveRequest): Answer | undefined {
    return this.resolutions.evaluate(caller, request);
  }

  /** Makes the intent a version, perhaps before the record says COMMITTED. @param intent announced */
  resolveAnnounced(intent: Intent): void {
    this.resolutions.resolveAnnounced(intent);
  }
}
