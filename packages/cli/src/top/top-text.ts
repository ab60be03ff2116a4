/** What `flotilla top` shows, as text for a terminal or as one document for programs. Pure. */
import { keyText, toHex } from '@flotilla/base';
import type { ClusterPicture } from '@flotilla/client';
import type { ContendedKeyFacts, EventFacts, LockFacts, TransactionFacts } from '@flotilla/sql';
import Table from 'cli-table3';
import {
  borderless,
  bytesText,
  durationText,
  type Paint,
  plainPaint,
} from '../status/status-table.ts';

export interface TopPicture extends ClusterPicture {
  /** Since 1970. */
  readonly atMs: number;
  /** The longest first. */
  readonly transactions: readonly TransactionFacts[];
  /** Those who wait first. */
  readonly locks: readonly LockFacts[];
  readonly contendedKeys: readonly ContendedKeyFacts[];
  /** The newest first. */
  readonly events: readonly EventFacts[];
  /** What could not be asked, and why. */
  readonly missing: readonly string[];
}

export interface TopLayout {
  /** Rows of each list but the stores'. */
  readonly rows: number;
  /** Where a range begins, in the words of the catalog, by its id. */
  readonly names: ReadonlyMap<number, string>;
  readonly paint?: Paint;
}

export function topText(picture: TopPicture, layout: TopLayout): string {
  const { paint = plainPaint } = layout;
  const parts = [
    summary(picture, paint),
    storeTable(picture, paint),
    rangeTable(picture, layout, paint),
    transactionTable(picture, layout, paint),
    contentionTable(picture, layout, paint),
    eventLines(picture, layout, paint),
    ...picture.missing.map((line) => paint.bad(line)),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`.replace(/[ \t]+$/gm, '');
}

function table(heads: readonly string[], paint: Paint): Table.Table {
  return new Table({ ...borderless, head: heads.map(paint.head) });
}

function summary({ stores, ranges, locks, atMs }: TopPicture, paint: Paint): string {
  const silent = stores.filter(({ state }) => state === 'silent').length;
  const leaderless = ranges.filter(({ leaseholder }) => leaseholder === undefined).length;
  const waiting = locks.filter(({ granted }) => !granted).length;
  const requests = ranges.reduce((sum, range) => sum + range.requestsPerSecond, 0);
  const facts = [
    new Date(atMs).toISOString(),
    `${stores.length} stores`,
    `${ranges.length} ranges`,
    `${requests} requests/s`,
    `${waiting} waiting for locks`,
    ...(silent > 0 ? [paint.bad(`${silent} silent`)] : []),
    ...(leaderless > 0 ? [paint.bad(`${leaderless} ranges without a leader`)] : []),
  ];
  return facts.join('  ');
}

function storeTable({ stores }: TopPicture, paint: Paint): string {
  if (stores.length === 0) return paint.bad('No store answers.');
  const heads = [
    'store',
    'machine',
    'state',
    'leases',
    'replicas',
    'data',
    'disk',
    'requests/s',
    'skew',
    'up',
  ];
  const rows = table(heads, paint);
  for (const store of stores) {
    const wishes = [
      ...(store.draining ? ['draining'] : []),
      ...(store.decommissioning ? ['decommissioning'] : []),
    ];
    const state = store.state === 'silent' ? paint.bad('silent') : 'answers';
    const disk =
      store.capacityBytes === 0
        ? ''
        : `${Math.round((100 * store.usedBytes) / store.capacityBytes)} %`;
    rows.push([
      ...[`s${store.storeId}`, store.machine, [state, ...wishes].join(', ')],
      ...[store.leases, store.replicas, bytesText(store.liveBytes), disk],
      store.requestsPerSecond,
      store.clockSkewMs === undefined ? '' : `${store.clockSkewMs.toFixed(1)} ms`,
      store.uptimeMs === undefined ? '' : durationText(store.uptimeMs),
    ]);
  }
  return rows.toString();
}

/** The busiest, those that nobody leads before all others. */
function rangeTable(
  { ranges }: TopPicture,
  { rows: most, names }: TopLayout,
  paint: Paint,
): string {
  if (ranges.length === 0) return '';
  const load = ({ leaseholder, requestsPerSecond }: TopPicture['ranges'][number]): number =>
    leaseholder === undefined ? Infinity : requestsPerSecond;
  const busiest = [...ranges].sort((a, b) => {
    const [x, y] = [load(a), load(b)];
    return x === y ? b.liveBytes - a.liveBytes || a.rangeId - b.rangeId : y - x;
  });
  const rows = table(['range', 'begins at', 'leader', 'replicas', 'data', 'requests/s'], paint);
  for (const range of busiest.slice(0, most))
    rows.push([
      `r${range.rangeId}`,
      names.get(range.rangeId) ?? keyText(range.startKey),
      range.leaseholder === undefined ? paint.bad('nobody') : `s${range.leaseholder}`,
      range.replicas.map(({ storeId }) => `s${storeId}`).join(' '),
      bytesText(range.liveBytes),
      range.requestsPerSecond,
    ]);
  return rows.toString();
}

function transactionTable(
  { transactions, atMs }: TopPicture,
  { rows: most }: TopLayout,
  paint: Paint,
): string {
  if (transactions.length === 0) return '';
  const rows = table(['transaction', 'since', 'locks', 'intents', 'waits', 'stores'], paint);
  for (const one of transactions.slice(0, most))
    rows.push([
      toHex(one.id).slice(0, 8),
      one.startedAtMs === undefined ? '' : durationText(Math.max(0, atMs - one.startedAtMs)),
      one.locks,
      one.intents,
      one.waits ? paint.bad('yes') : '',
      one.stores.map((storeId) => `s${storeId}`).join(' '),
    ]);
  return rows.toString();
}

function contentionTable(
  { contendedKeys, atMs }: TopPicture,
  { rows: most }: TopLayout,
  paint: Paint,
): string {
  if (contendedKeys.length === 0) return '';
  const rows = table(['contended key', 'range', 'waits', 'waited', 'conflicts', 'last'], paint);
  for (const one of contendedKeys.slice(0, most))
    rows.push([
      keyText(one.key),
      one.rangeId === 0 ? '' : `r${one.rangeId}`,
      one.waits,
      `${one.waitedMs} ms`,
      one.conflicts,
      `${durationText(Math.max(0, atMs - one.lastAtMs))} ago`,
    ]);
  return rows.toString();
}

function eventLines({ events }: TopPicture, { rows: most }: TopLayout, paint: Paint): string {
  const lines = events
    .slice(0, most)
    .map(({ atMs, kind, text }) => `${new Date(atMs).toISOString()}  ${kind.padEnd(14)}  ${text}`);
  return lines.length === 0 ? '' : [paint.head('events'), ...lines].join('\n');
}

/** One line: bytes as hex, times in ms since 1970. */
export function topJson(picture: TopPicture): string {
  return `${JSON.stringify(picture, hexOfBytes)}\n`;
}

/** What is in the holder: a Buffer has made something else of itself before it comes here. */
function hexOfBytes(this: unknown, name: string, value: unknown): unknown {
  const held = (this as Readonly<Record<string, unknown>>)[name];
  return held instanceof Uint8Array ? toHex(held) : value;
}
