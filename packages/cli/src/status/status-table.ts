/** The picture of the cluster as text for a terminal. Pure. */
import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import type { ClusterStatus, RangeRow, StoreRow } from './cluster-status.ts';

/** What colours mean here; picocolors, or nothing at all where the output is not a terminal. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly head: (text: string) => string;
}

export const plainPaint: Paint = {
  good: (text) => text,
  bad: (text) => text,
  head: (text) => text,
};

export const borderless: Table.TableConstructorOptions = {
  chars: {
    ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
    ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
    ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '' },
    middle: '  ',
  },
  style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
};

/** More ranges are summed up, and only those shown that something is wrong with: as many of them. */
const rangesShown = 30;

export function statusText(
  status: ClusterStatus,
  paint: Paint = plainPaint,
  { allRanges = false }: { readonly allRanges?: boolean } = {},
): string {
  const { stores, ranges } = status;
  // Of a cluster that does not answer nobody knows whether it was founded.
  if (stores.length === 0) return `${storeTable(stores, paint)}\n`;
  const cluster =
    status.clusterId === ''
      ? paint.bad(`Not founded yet: run \`flotilla init --stores ${stores.length}\`.`)
      : `Cluster ${status.clusterId}`;
  const isLong = ranges.length > rangesShown && !allRanges;
  const rangesText = isLong ? rangeSummary(ranges, paint) : rangeTable(ranges, paint);
  return [cluster, '', storeTable(stores, paint), '', rangesText, '']
    .map((part) => part.replace(/[ \t]+$/gm, ''))
    .join('\n');
}

function storeTable(stores: readonly StoreRow[], paint: Paint): string {
  if (stores.length === 0) return paint.bad('No store answers.');
  const heads = ['store', 'machine', 'version', 'uptime', 'pid', 'replicas', 'leases', 'WAL'];
  const table = new Table({ ...borderless, head: heads.map(paint.head) });
  for (const store of stores) {
    const id = `s${store.storeId}`;
    table.push(
      store.answers
        ? [
            ...[id, store.machine, store.version, durationText(store.uptimeMs)],
            ...[store.pid, store.replicas, store.leases, bytesText(store.walBytes)],
          ]
        : [id, paint.bad('does not answer'), '', '', '', '', '', ''],
    );
  }
  return table.toString();
}

function rangeTable(ranges: readonly RangeRow[], paint: Paint): string {
  if (ranges.length === 0) return 'No ranges are known.';
  const heads = ['range', 'span', 'leader', 'term', 'lease', 'applied on each store'];
  const rows = [heads.map(paint.head)];
  for (const range of ranges) {
    const leader =
      range.leaseholderStoreId === undefined
        ? paint.bad('no leader')
        : `s${range.leaseholderStoreId}`;
    rows.push([
      ...[`r${range.rangeId}`, range.span, leader, `t${range.term}`, leaseText(range, paint)],
      range.replicas
        .map((replica) =>
          replica.role === 'unknown'
            ? paint.bad(`s${replica.storeId}:?`)
            : `s${replica.storeId}:i${replica.appliedIndex}`,
        )
        .join(' '),
    ]);
  }
  return columnsText(rows);
}

/** Rows in columns, two spaces apart, in linear time: there may be ten thousand of them. Cells may be painted. */
export function columnsText(rows: readonly (readonly string[])[]): string {
  const widthOf = (cell: string): number => stripVTControlCharacters(cell).length;
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, widthOf(cell));
  const padded = (cell: string, i: number): string =>
    cell + ' '.repeat((widths[i] ?? 0) - widthOf(cell));
  return rows.map((row) => row.map(padded).join('  ')).join('\n');
}

/** What is wrong, the worst first. */
function rangeSummary(ranges: readonly RangeRow[], paint: Paint): string {
  const leaderless = ranges.filter(({ leaseholderStoreId }) => leaseholderStoreId === undefined);
  const silent = ranges.filter(
    ({ leaseholderStoreId, replicas }) =>
      leaseholderStoreId !== undefined && replicas.some(({ role }) => role === 'unknown'),
  );
  const wrong = [...leaderless, ...silent];
  const counts = `${ranges.length} ranges: `;
  if (wrong.length === 0)
    return `${counts}${paint.good('all of them are led, and all their replicas answer')}. \`--all-ranges\` lists them.`;
  const parts = [
    `${ranges.length - leaderless.length} led`,
    ...(leaderless.length > 0 ? [paint.bad(`${leaderless.length} without a leader`)] : []),
    ...(silent.length > 0
      ? [paint.bad(`${silent.length} others with a replica that does not answer`)]
      : []),
  ];
  const shown = wrong.slice(0, rangesShown);
  const more = wrong.length - shown.length;
  return [
    `${counts}${parts.join(', ')}.`,
    '',
    rangeTable(shown, paint),
    ...(more > 0 ? [`… and ${more} more. \`--all-ranges\` lists all.`] : []),
  ].join('\n');
}

function leaseText(range: RangeRow, paint: Paint): string {
  switch (range.lease) {
    case 'valid':
      return paint.good(`${Math.round(range.leaseRemainingMs)} ms`);
    case 'expired':
      return 'by quorum'; // reads are confirmed by a round of heartbeats instead
    case 'none':
      return paint.bad('none');
  }
}

export function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return '0s';
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}

export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}
