/** What a store shows to Prometheus. */
import type { Capacity, Store, StoreFigures } from '@flotilla/shard';
import type { Instruments } from './instruments.ts';

export interface StoreSource {
  /** Looks at every replica: asked once for all that one scrape shows. */
  readonly figures: () => StoreFigures | undefined;
  readonly writeHealth: () => Store['writeHealth'];
  /** Of the volume with the data. */
  readonly capacity: () => Capacity | undefined;
  /** Monotonic. Unit: ms. */
  readonly nowMs: () => number;
}

type Names = readonly (readonly [
  name: string,
  help: string,
  figure: NumericFigure,
  unit?: number,
])[];
type NumericFigure = {
  [Name in keyof StoreFigures]: StoreFigures[Name] extends number ? Name : never;
}[keyof StoreFigures];

const msPerSecond = 1000;

const gauges: Names = [
  ['replicas_count', 'Replicas of this store.', 'replicas'],
  ['leases_count', 'Ranges that this store leads.', 'leases'],
  [
    'ranges_under_replicated_count',
    'Ranges led here that have fewer voters than are wanted of them.',
    'rangesUnderReplicated',
  ],
  [
    'replicas_without_leader_count',
    'Replicas that know no leader of their range.',
    'replicasWithoutLeader',
  ],
  ['wal_bytes', 'Size of the write-ahead log.', 'walBytes'],
  ['wal_waiting_bytes', 'Data of entries that wait for the disk.', 'bytesToWrite'],
  [
    'apply_waiting_bytes',
    'Data of committed entries that wait for the state machine.',
    'bytesToApply',
  ],
  ['requests_in_flight_count', 'Requests admitted and not yet answered.', 'requestsInFlight'],
  ['snapshots_sending_count', 'Snapshots on their way to other stores.', 'snapshotsSending'],
  ['snapshots_receiving_count', 'Snapshots on their way here.', 'snapshotsReceiving'],
  [
    'loop_delay_p99_seconds',
    'How late the event loop was, 99 of 100 times, in the last second of work.',
    'loopDelayP99Ms',
    msPerSecond,
  ],
  [
    'closed_timestamp_lag_seconds',
    'How far the last replica that follows is from the present in what it may serve by itself.',
    'closedLagMs',
    msPerSecond,
  ],
  [
    'replicas_nothing_closed_count',
    'Replicas that follow and have heard of nothing that is closed.',
    'replicasNothingClosed',
  ],
];

const counters: Names = [
  ['requests_total', 'Requests answered.', 'requests'],
  ['leases_taken_total', 'How often this store came to lead a range.', 'leasesTaken'],
  ['splits_total', 'Ranges that this store has cut.', 'splits'],
  ['snapshots_sent_total', 'Snapshots that other stores have installed.', 'snapshotsSent'],
  ['snapshots_received_total', 'Snapshots that this store has installed.', 'snapshotsReceived'],
  [
    'raft_messages_dropped_total',
    'Messages of other stores that found no room.',
    'droppedMessages',
  ],
  ['loop_stalls_total', 'How often the event loop stood still.', 'loopStalls'],
  [
    'follower_reads_total',
    'Reads of the past that replicas which follow have served by themselves.',
    'followerReads',
  ],
  [
    'follower_reads_refused_total',
    'Reads of the past that replicas which follow have sent to the leaseholder.',
    'followerReadsRefused',
  ],
];

export function addStoreMetrics(to: Instruments, source: StoreSource): void {
  const { figures, capacity } = source;
  const beganAtMs = source.nowMs();
  const valueOfFigure =
    (figure: NumericFigure, unit = 1) =>
    (): number | undefined => {
      const value = figures()?.[figure];
      return value === undefined ? undefined : value / unit;
    };
  for (const [name, help, figure, unit] of gauges)
    to.gauge(`flotilla_store_${name}`, help, valueOfFigure(figure, unit));
  for (const [name, help, figure] of counters)
    to.counter(`flotilla_store_${name}`, help, valueOfFigure(figure));
  to.gauge(
    'flotilla_store_disk_capacity_bytes',
    'Size of the volume with the data.',
    () => capacity()?.capacityBytes,
  );
  to.gauge(
    'flotilla_store_disk_used_bytes',
    'Of that volume: what is used, by whomever.',
    () => capacity()?.usedBytes,
  );
  to.gauge('flotilla_store_disk_free_bytes', 'Of that volume: what is free.', () => {
    const now = capacity();
    return now === undefined ? undefined : now.capacityBytes - now.usedBytes;
  });
  to.counters(
    {
      name: 'flotilla_store_requests_admitted_total',
      help: 'Requests admitted, by kind.',
      label: 'kind',
    },
    () => entriesOf(figures()?.requestsByKind),
  );
  to.counters(
    {
      name: 'flotilla_store_requests_refused_total',
      help: 'Requests refused, by reason; busy: more was asked than the store does.',
      label: 'reason',
    },
    () => entriesOf(figures()?.refusals),
  );
  to.durations(
    'flotilla_store_request_duration_seconds',
    'From the arrival of a request to its answer. One request in sixteen is timed.',
    () => figures()?.requestTimes,
  );
  to.durations(
    'flotilla_store_wal_sync_duration_seconds',
    'Of writes to the write-ahead log with their syncs.',
    () => figures()?.logWriteTimes,
  );
  to.durations(
    'flotilla_store_apply_duration_seconds',
    'Of batches of committed entries in the state machine.',
    () => figures()?.applyTimes,
  );
  to.gauge(
    'flotilla_store_last_committed_write_age_seconds',
    "Since the store's own row was committed last, or, before that, since the process began.",
    () => {
      const health = source.writeHealth();
      if (health === undefined) return undefined;
      // A store that comes back and reaches nobody would show nothing, and nobody be woken.
      return (source.nowMs() - (health.committedAtMs ?? beganAtMs)) / 1000;
    },
  );
}

function entriesOf(counts: Readonly<Record<string, number>> | undefined) {
  return counts === undefined ? undefined : Object.entries(counts);
}
