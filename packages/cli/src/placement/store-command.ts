/**
 * `flotilla store …`: reads the rows in which stores describe themselves, writes what an operator wants of one, and waits
 * until it is so, saying how far it is.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DbError } from '@flotilla/base';
import { type Router, readEvents, readStoreRows } from '@flotilla/router';
import {
  encodeIntent,
  type IndexRow,
  intentKey,
  type StoreReport,
  suspectAfterReports,
} from '@flotilla/shard';
import Table from 'cli-table3';
import type { ProcessConfig } from '../config/settings.ts';
import type { Output } from '../output.ts';
import { gatherStatus } from '../status/cluster-status.ts';
import { borderless, bytesText, durationText } from '../status/status-table.ts';
import { dutiesOf, placedOn, readIndex, type StoreDuties } from './store-duties.ts';
import { withCluster } from './with-cluster.ts';

export interface StoreLine {
  readonly storeId: number;
  readonly machine: string;
  readonly zone: string;
  readonly version: string;
  /** Since its row was written. */
  readonly silentMs: number;
  /** Between two of its rows. */
  readonly reportEveryMs: number;
  /** As it has said itself. */
  readonly replicas: number;
  readonly leases: number;
  /** Ranges with a replica on it, by the meta index. Undefined: not known just now. */
  readonly placed: number | undefined;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly requestsPerSecond: number;
  readonly draining: boolean;
  readonly decommissioning: boolean;
}

export type StoreWish = 'drain' | 'undrain' | 'decommission';

/** Unit: ms. */
const pollMs = 500;
const askMs = 500;
const indexTimeoutMs = 5000;
const restPerWork = 4;
/** Of the newest events, in search of the one that tells what is in the way. */
const eventsRead = 200;
/** Of stores whose row does not say how often it is written. */
const reportEveryMs = 5000;

export function runStoreStatus(
  config: ProcessConfig,
  request: { readonly json: boolean; readonly timeoutMs: number },
  output: Output,
): Promise<number> {
  const { timeoutMs, json } = request;
  const failed = 'the stores are not known';
  return withCluster(config, { timeoutMs, failed, output }, async (router) => {
    const lines = await storeLines(router, timeoutMs, readIndex(router, timeoutMs));
    output.out(json ? `${JSON.stringify(lines)}\n` : `${storeText(lines)}\n`);
  });
}

export function runStoreWish(
  config: ProcessConfig,
  request: { readonly storeId: number; readonly wish: StoreWish; readonly timeoutMs: number },
  output: Output,
): Promise<number> {
  const { storeId, wish, timeoutMs } = request;
  const failed = `s${storeId}: ${wish} is not done`;
  return withCluster(config, { timeoutMs, failed, output }, async (router) => {
    const say = (line: string): void => output.out(`${line}\n`);
    const lines = await storeLines(router, Math.min(timeoutMs, 10_000), 'not asked for');
    if (!lines.some((line) => line.storeId === storeId))
      throw new DbError('INVALID_ARGUMENT', 'no store of that number has ever joined');
    const intent = {
      draining: wish !== 'undrain',
      decommissioning: wish === 'decommission',
    };
    await router.write({
      conditions: [],
      mutations: [{ kind: 'put', key: intentKey(storeId), value: encodeIntent(intent) }],
      deleteSpans: [],
    });
    if (wish === 'undrain') say(`s${storeId} may be given leases and replicas again.`);
    else await waitUntilGone(router, request, say);
  });
}

/**
 * Says what is left, and what is not known of it, whenever that changes.
 * @throws DbError(TIMEOUT)
 */
export async function waitUntilGone(
  router: Router,
  { storeId, wish, timeoutMs }: { storeId: number; wish: StoreWish; timeoutMs: number },
  say: (line: string) => void,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const forGood = wish === 'decommission';
  let said = '';
  let stuck = '';
  for (;;) {
    const askedAt = performance.now();
    const index = await readIndex(router, indexTimeoutMs);
    const duties = dutiesOf(storeId, index, await gatherStatus(router, askMs));
    const tookMs = performance.now() - askedAt - askMs;
    if (isFree(duties, forGood)) break;
    const left = leftText(storeId, duties, forGood);
    if (left !== said) say(left);
    said = left;
    const why = await obstacleText(router, storeId);
    if (why !== undefined && why !== stuck) say(why);
    stuck = why ?? stuck;
    if (performance.now() > deadline)
      throw new DbError(
        'TIMEOUT',
        `${left} It goes on without this command; \`flotilla events\` says what stands in the way, ` +
          `\`flotilla store undrain ${storeId}\` takes it back`,
      );
    // Of thousands of ranges every store tells megabytes.
    await sleep(Math.max(pollMs, tookMs * restPerWork));
  }
  say(
    forGood
      ? `s${storeId} holds nothing any more: it is safe to stop it for good, and to delete its directory.`
      : `s${storeId} leads nothing any more: it is safe to stop it. \`flotilla store undrain ${storeId}\` ends this.`,
  );
}

/** What placement said last that stands in the way of what is wanted of the store now. Undefined: nothing, or not known. Exported for tests. */
export async function obstacleText(router: Router, storeId: number): Promise<string | undefined> {
  try {
    for (const { event } of await readEvents(router, { limit: eventsRead, timeoutMs: askMs })) {
      const { kind, text } = event;
      if (kind === 'store' && event.storeId === storeId) return undefined; // what is older is of another wish
      if (kind === 'stuck' && new RegExp(`\\bs${storeId} (is being|drains)`).test(text))
        return text;
    }
  } catch (error) {
    // Who does not answer is said already.
    if (!(error instanceof DbError) || error.code === 'CLOSED') throw error;
  }
  return undefined;
}

function isFree({ replicas, leases, waitingFor }: StoreDuties, forGood: boolean): boolean {
  return waitingFor.length === 0 && leases === 0 && (!forGood || replicas === 0);
}

function leftText(storeId: number, duties: StoreDuties, forGood: boolean): string {
  const { replicas, leases, waitingFor } = duties;
  const counts = forGood ? `${replicas} replicas and ${leases} leases` : `${leases} leases`;
  if (waitingFor.length === 0) return `s${storeId}: ${counts} are left.`;
  return `s${storeId}: ${counts} are left that are known of; still waiting for ${waitingFor.join('; ')}.`;
}

/** @param indexRead the index of ranges, or why it is not known */
async function storeLines(
  router: Router,
  timeoutMs: number,
  indexRead: Promise<readonly IndexRow[] | string> | string,
): Promise<StoreLine[]> {
  // At once: where nobody answers, each waits for as long.
  const [index, rows] = await Promise.all([indexRead, readStoreRows(router, { timeoutMs })]);
  const now = Date.now();
  return Array.from(rows.values(), ({ report, reportedAtMs, intent }) => {
    const { draining = false, decommissioning = false } = intent ?? {};
    const silentMs = Math.max(0, now - reportedAtMs);
    return {
      ...lineOf(report, silentMs, { draining, decommissioning }),
      placed: placedOn(report.storeId, index),
    };
  });
}

function lineOf(
  report: StoreReport,
  silentMs: number,
  intent: { readonly draining: boolean; readonly decommissioning: boolean },
): Omit<StoreLine, 'placed'> {
  const { storeId, machine, zone, version, replicas, leases } = report;
  const { capacityBytes, usedBytes, requestsPerSecond } = report;
  return {
    ...{ storeId, machine, zone, version, silentMs, replicas, leases },
    reportEveryMs: report.reportEveryMs || reportEveryMs,
    ...{ capacityBytes, usedBytes, requestsPerSecond, ...intent },
  };
}

/** Exported for tests. */
export function storeText(lines: readonly StoreLine[]): string {
  if (lines.length === 0) return 'No store has joined yet.';
  const heads = [
    ...['store', 'state', 'machine', 'zone', 'version', 'replicas', 'leases', 'requests/s'],
    'disk used',
  ];
  const table = new Table({ ...borderless, head: heads });
  for (const line of lines)
    table.push([
      ...[`s${line.storeId}`, stateText(line), line.machine, line.zone || '-', line.version],
      // What a store has said of itself is some seconds old; the index has heard of the last move.
      ...[line.placed ?? line.replicas, line.leases, line.requestsPerSecond],
      line.capacityBytes === 0
        ? '-'
        : `${bytesText(line.usedBytes)} of ${bytesText(line.capacityBytes)}`,
    ]);
  return table.toString().replace(/[ \t]+$/gm, '');
}

function stateText(line: StoreLine): string {
  const { silentMs, draining, decommissioning, placed } = line;
  const silentAfterMs = line.reportEveryMs * suspectAfterReports;
  const parts: string[] = [];
  if (silentMs > silentAfterMs) parts.push(`silent for ${durationText(silentMs)}`);
  if (decommissioning) parts.push(placed === 0 ? 'decommissioned' : 'decommissioning');
  else if (draining) parts.push('draining');
  return parts.length === 0 ? 'alive' : parts.join(', ');
}
