/**
 * The promise of a commit: intents in every range that is written to, and the record beside the anchor. Whoever finds
 * the record STAGING and every promised intent takes the transaction for committed, so an intent may be laid only if
 * every read that belongs to the promise holds too. Each read check therefore travels with writes to the same range; and
 * where a split has parted them, the checks that were left without a write are refreshed before the writes are sent.
 *
 * A promise of many keys goes to a range in several messages: a condition stays with the write to its key, and the read
 * checks of a range go with the first of its messages.
 *
 * Ends at the first range that does not agree; what the others answer no longer matters to a promise that is not kept.
 */
import { asBuffer, compareBytes, toHex } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Response } from '../client-link.ts';
import type { BlockingIntent, Refusal } from '../range-call.ts';
import type { OperationOptions, WriteCondition, WriteMutation } from '../router-api.ts';
import { headerFields } from './header.ts';
import { wireReadCheck } from './read-check.ts';
import { RefreshOperation } from './refresh-operation.ts';
import { waitNotice } from './refusals.ts';
import {
  type Part,
  type SpreadCall,
  SpreadOperation,
  type TransactionParts,
} from './spread-operation.ts';
import type {
  Prepare,
  PrepareOptions,
  PrepareOutcome,
  ReadCheck,
  TransactionContext,
  WireRequest,
} from './transaction-api.ts';

type PreparePart =
  | { readonly kind: 'condition'; readonly startKey: Uint8Array; readonly item: WriteCondition }
  | { readonly kind: 'mutation'; readonly startKey: Uint8Array; readonly item: WriteMutation }
  | (ReadCheck & { readonly kind: 'check' });

/** Keys and values that one message carries, about: one log entry each, which should not hold others up for long. */
const messageBytes = 256 * 1024;

export class PrepareOperation extends SpreadOperation<PreparePart & Part, PrepareOutcome> {
  private readonly base: TransactionParts;
  private readonly context: TransactionContext;
  private readonly prepare: Prepare;
  private readonly options: PrepareOptions;

  constructor(
    base: TransactionParts,
    context: TransactionContext,
    prepare: Prepare,
    options: PrepareOptions,
    bytes: number,
  ) {
    super(base, partsOf(prepare), bytes, options);
    this.base = base;
    this.context = context;
    this.prepare = prepare;
    this.options = options;
  }

  override body(parts: readonly PreparePart[], storeId: number): WireRequest {
    const { anchorKey, commitTimestamp, mutations } = this.prepare;
    const stage = parts.some(
      (part) => part.kind === 'mutation' && compareBytes(part.startKey, anchorKey) === 0,
    );
    if (stage) this.context.stores.add(storeId);
    return {
      transaction: headerFields(this.context, { coordinator: this.base.coordinator, storeId }),
      prepare: {
        anchorKey,
        commitTimestamp,
        conditions: conditionsOf(parts).map(wireCondition),
        readChecks: checksOf(parts).map(wireReadCheck),
        mutations: parts.flatMap((part) =>
          part.kind === 'mutation' ? [wireMutation(part.item)] : [],
        ),
        stage,
        promisedKeys: stage ? mutations.map(({ key }) => key) : [],
      },
    };
  }

  override accepts(response: Response): boolean {
    return !!response.prepare;
  }

  override tooLarge(parts: readonly PreparePart[]): boolean {
    let bytes = 0;
    let keys = 0;
    for (const part of parts) {
      bytes += bytesOf(part);
      if (part.kind === 'mutation') keys++;
    }
    return bytes > messageBytes && keys > 1;
  }

  protected override cutGroup(parts: readonly PreparePart[]): PreparePart[][] {
    const byKey = new Map<string, PreparePart[]>();
    let group: PreparePart[] = parts.filter((part) => part.kind === 'check');
    for (const part of parts) {
      if (part.kind === 'check') continue;
      const name = asBuffer(part.startKey).toString('latin1');
      const same = byKey.get(name);
      if (same === undefined) byKey.set(name, [part]);
      else same.push(part);
    }
    const groups: PreparePart[][] = [];
    let bytes = 0;
    for (const same of byKey.values()) {
      const more = same.reduce((sum, part) => sum + bytesOf(part), 0);
      if (bytes > 0 && bytes + more > messageBytes) {
        groups.push(group);
        group = [];
        bytes = 0;
      }
      group.push(...same);
      bytes += more;
    }
    groups.push(group);
    return groups;
  }

  override onAnswer(
    response: Response,
    parts: readonly PreparePart[],
    _fromStore: number,
    ended: boolean,
  ): void {
    const { prepared, failedCondition } = response.prepare ?? {};
    if (prepared) {
      if (ended) this.succeed({ kind: 'prepared' });
      return;
    }
    this.endCalls();
    this.succeed({ kind: 'failed', condition: conditionsOf(parts)[failedCondition ?? 0] });
  }

  override onLockWaiting(refusal: Refusal): Error | undefined {
    return this.options.onWaiting?.(waitNotice(refusal));
  }

  override onBlocked(intent: BlockingIntent): Error | undefined {
    return this.options.onBlocked?.(toHex(intent.transactionId ?? noBytes));
  }

  /** @override Writes wait until the checks that they were parted from hold. */
  override split(call: SpreadCall<PreparePart & Part, PrepareOutcome>): void {
    const groups = this.groups(call.parts);
    const writing = groups.filter((parts) => parts.some((part) => part.kind === 'mutation'));
    const parted = groups.filter((parts) => !writing.includes(parts)).flatMap(checksOf);
    const unwritten = groups.filter((parts) => !writing.includes(parts));
    this.dispatcher.finish(call);
    this.calls.delete(call);
    if (parted.length === 0 || writing.length === 0) {
      this.spread(groups);
      return;
    }
    // Conditions are on keys that are written; a condition alone cannot have been parted from its write.
    const waiting = writing.map((parts) => this.newCall(parts));
    for (const next of waiting) this.dispatcher.waitIn('blocked', next);
    void this.refreshParted(unwritten.flatMap(checksOf)).then((error) => {
      if (this.settled) return;
      if (error !== undefined) this.refuse(error);
      else if (this.partedHold) for (const next of waiting) this.dispatcher.dispatch(next);
      else {
        this.endCalls();
        this.succeed({ kind: 'failed', condition: undefined });
      }
    });
  }

  private partedHold = true;

  private async refreshParted(checks: readonly ReadCheck[]): Promise<Error | undefined> {
    const { dispatcher } = this;
    const timeoutMs = Math.max(1, this.deadlineAtMs - dispatcher.clock.nowMs());
    const options: OperationOptions = { timeoutMs };
    const { base, context, prepare } = this;
    const refresh = new RefreshOperation(base, context, checks, prepare.commitTimestamp, options);
    try {
      if (!(await refresh.start())) this.partedHold = false;
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }
}

const noBytes = new Uint8Array(0);
/** What the encoding adds to a key, about. */
const overheadBytes = 24;

function bytesOf(part: PreparePart): number {
  if (part.kind === 'check') return 0;
  const bytes = part.startKey.length + overheadBytes;
  return part.kind === 'mutation' && part.item.kind === 'put'
    ? bytes + part.item.value.length
    : bytes;
}

function partsOf(prepare: Prepare): readonly PreparePart[] {
  const { conditions, mutations, readChecks } = prepare;
  return [
    ...conditions.map((item) => ({ kind: 'condition', startKey: item.key, item }) as const),
    ...mutations.map((item) => ({ kind: 'mutation', startKey: item.key, item }) as const),
    ...readChecks.map((check) => ({ kind: 'check', ...check }) as const),
  ];
}

function conditionsOf(parts: readonly PreparePart[]): WriteCondition[] {
  return parts.flatMap((part) => (part.kind === 'condition' ? [part.item] : []));
}

function checksOf(parts: readonly PreparePart[]): ReadCheck[] {
  return parts.flatMap((part) => (part.kind === 'check' ? [part] : []));
}

const { ConditionKind } = kv;

function wireCondition(condition: WriteCondition): Parameters<typeof kv.Condition.encode>[0] {
  const { key } = condition;
  return condition.kind === 'absent'
    ? { key, kind: ConditionKind.ABSENT }
    : { key, kind: ConditionKind.UNCHANGED, timestamp: condition.timestamp };
}

function wireMutation(mutation: WriteMutation): Parameters<typeof kv.Mutation.encode>[0] {
  const { key } = mutation;
  return mutation.kind === 'delete' ? { key, isDelete: true } : { key, value: mutation.value };
}
