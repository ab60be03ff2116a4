/** Are these reads the same at a later timestamp? Asked of every range that was read; one "no" is enough. */
import { compareBytes } from '@flotilla/base';
import type { Response } from '../client-link.ts';
import type { Refusal } from '../range-call.ts';
import { headerFields } from './header.ts';
import { readCheckBytes, wireReadCheck } from './read-check.ts';
import { waitNotice } from './refusals.ts';
import { SpreadOperation, type TransactionParts } from './spread-operation.ts';
import type {
  ReadCheck,
  TransactionContext,
  TransactionReadOptions,
  WireRequest,
} from './transaction-api.ts';

export class RefreshOperation extends SpreadOperation<ReadCheck, boolean> {
  private readonly context: TransactionContext;
  private readonly coordinator: string;
  private readonly to: number;
  private readonly options: TransactionReadOptions;

  constructor(
    base: TransactionParts,
    context: TransactionContext,
    checks: readonly ReadCheck[],
    to: number,
    options: TransactionReadOptions = {},
  ) {
    super(base, inKeyOrder(checks), readCheckBytes(checks), options);
    this.context = context;
    this.coordinator = base.coordinator;
    this.to = to;
    this.options = options;
  }

  override body(parts: readonly ReadCheck[], storeId: number): WireRequest {
    return {
      transaction: headerFields(this.context, { coordinator: this.coordinator, storeId }),
      refresh: { checks: parts.map(wireReadCheck), to: this.to },
    };
  }

  override accepts(response: Response): boolean {
    return !!response.refresh;
  }

  override onAnswer(
    response: Response,
    _parts: readonly ReadCheck[],
    _fromStore: number,
    ended: boolean,
  ): void {
    if (response.refresh?.ok) {
      if (ended) this.succeed(true);
      return;
    }
    this.endCalls();
    this.succeed(false);
  }

  override onLockWaiting(refusal: Refusal): Error | undefined {
    return this.options.onWaiting?.(waitNotice(refusal));
  }
}

function inKeyOrder(checks: readonly ReadCheck[]): readonly ReadCheck[] {
  return [...checks].sort((a, b) => compareBytes(a.startKey, b.startKey));
}
