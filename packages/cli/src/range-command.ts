/**
 * `flotilla range transfer`: another store is to lead a range. `flotilla range split`: one is cut in two. Both wait until
 * it is so, or say why it is not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { concatBytes, DbError, keyText, kvPrefix, spanText, toStoreId } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import type { ProcessConfig } from './config/settings.ts';
import type { Output } from './output.ts';
import { withCluster } from './placement/with-cluster.ts';
import { gatherStatus, type RangeRow } from './status/cluster-status.ts';
import { UsageError } from './usage-error.ts';

export interface TransferRequest {
  readonly rangeId: number;
  readonly to: number;
  readonly timeoutMs: number;
}

/** How long stores have to answer each time they are asked. Unit: ms. */
const askMs = 300;
const pollMs = 20;

/** @returns 0 once `to` leads the range, or did already; 1 otherwise */
export function runTransfer(
  config: ProcessConfig,
  request: TransferRequest,
  output: Output,
): Promise<number> {
  const { rangeId, timeoutMs } = request;
  const failed = `r${rangeId} is not handed over`;
  return withCluster(config, { timeoutMs, failed, output }, async (router) => {
    output.out(`${await transfer(router, request)}\n`);
  });
}

/** @returns what happened, for people */
async function transfer(router: Router, request: TransferRequest): Promise<string> {
  const { rangeId, to, timeoutMs } = request;
  const startedAt = performance.now();
  const before = await rangeOf(router, rangeId);
  if (before === undefined) throw new DbError('INVALID_ARGUMENT', 'no store knows this range');
  const from = before.leaseholderStoreId;
  if (from === to) return `r${rangeId} is led by s${to} already.`;
  const key = Buffer.from(before.startKey, 'hex');
  await router.transferLease(key, toStoreId(to), { timeoutMs });
  for (;;) {
    const now = await rangeOf(router, rangeId);
    if (now?.leaseholderStoreId === to) break;
    if (performance.now() - startedAt > timeoutMs)
      throw new DbError('TIMEOUT', `s${to} was asked to take over and does not lead it yet`);
    await sleep(pollMs);
  }
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  return `r${rangeId}: s${to} leads it now, before it was ${from === undefined ? 'nobody' : `s${from}`} (${seconds} s).`;
}

async function rangeOf(router: Router, rangeId: number): Promise<RangeRow | undefined> {
  const { ranges } = await gatherStatus(router, askMs);
  return ranges.find((range) => range.rangeId === rangeId);
}

export interface SplitRequest {
  /** A key of the SDK's key-value space, as text; or any key of the key space, in hex. Exactly one. */
  readonly key: string | undefined;
  readonly at: string | undefined;
  readonly timeoutMs: number;
}

/** @returns 0 once a range begins at the key, or did already; 1 otherwise */
export async function runSplit(
  config: ProcessConfig,
  request: SplitRequest,
  output: Output,
): Promise<number> {
  const key = splitKeyOf(request);
  const { timeoutMs } = request;
  const failed = `no range was cut at ${keyText(key)}`;
  return withCluster(config, { timeoutMs, failed, output }, async (router) => {
    output.out(`${await splitAt(router, request)}\n`);
  });
}

/** Over any router. @returns what there is now, for people. Rejects with DbError; throws UsageError. */
export async function splitAt(
  router: Pick<Router, 'split'>,
  request: SplitRequest,
): Promise<string> {
  const key = splitKeyOf(request);
  const right = await router.split(key, { timeoutMs: request.timeoutMs });
  const { startKey = noBytes, endKey = noBytes, rangeId } = right;
  const span = spanText({ startKey: startKey ?? noBytes, endKey: endKey ?? noBytes });
  return `r${rangeId} begins at ${keyText(key)}: ${span}.`;
}

const noBytes = new Uint8Array(0);

function splitKeyOf({ key, at }: SplitRequest): Uint8Array {
  if ((key === undefined) === (at === undefined))
    throw new UsageError('name one key: --key <text> or --at <hex>');
  if (key !== undefined) return concatBytes(kvPrefix, Buffer.from(key, 'utf8'));
  if (at === undefined || !/^([0-9a-f]{2})+$/i.test(at))
    throw new UsageError('--at is a key in hex, as `flotilla status --json` shows them');
  return Buffer.from(at, 'hex');
}
