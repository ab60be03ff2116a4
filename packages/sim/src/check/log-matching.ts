/**
 * Log Matching: if two logs contain an entry with the same index and term, then the logs are identical in all entries up
 * through the given index. Leader Append-Only: a leader never overwrites or deletes entries in its log. Raft Fig. 3, §5.3.
 *
 * Incremental: every entry is compared once per replica and life with what anybody's log held at its index and term, and
 * with the term before it; by induction that is the whole prefix.
 */
import { crc32c, FatalError, toLogIndex } from '@flotilla/base';
import { decodeConfiguration, type LogEntry } from '@flotilla/raft';
import type { GroupInside } from '@flotilla/raft/testing';
import { SimFailure } from '../failure.ts';
import type { RangeLedger, ReplicaMemory } from './ledger.ts';

type Log = GroupInside['state']['log'];

/** Brings the memory up to the log, and the ledger up to the memory. */
export function checkLog(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  { state }: GroupInside,
  newLife: boolean,
): void {
  const { log, currentTerm } = state;
  const { firstIndex, lastIndex } = log;
  if (newLife || firstIndex > memory.lastIndex + 1) memory.forgetLog(firstIndex);
  else if (firstIndex > memory.base) memory.dropBelow(firstIndex);
  let same = Math.min(memory.lastIndex, lastIndex);
  while (same >= Math.max(firstIndex, memory.base) && log.term(same) !== memory.termAt(same))
    same--;
  if (same < memory.lastIndex) {
    const leads = state.role.kind === 'leader' && memory.leaderTerm === currentTerm;
    if (leads && !newLife)
      throw new SimFailure(
        'appendOnly',
        `${memory.name} leads t${currentTerm} and removed entries above ${same}`,
      );
    memory.truncateTo(same);
  }
  if (state.role.kind === 'leader') memory.leaderTerm = currentTerm;
  if (same < lastIndex) addEntries(ledger, memory, log, same);
}

function addEntries(ledger: RangeLedger, memory: ReplicaMemory, log: Log, same: number): void {
  let previousTerm: number = log.term(same);
  for (const entry of entriesFrom(log, same + 1)) {
    const { index, term } = entry;
    addFacts(ledger, memory, entry, previousTerm);
    memory.append(index, term);
    previousTerm = term;
  }
}

function addFacts(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  { index, term, kind, data }: LogEntry,
  previousTerm: number,
): void {
  const hash = crc32c(data, kind.length);
  let atIndex = ledger.entries.get(index);
  if (atIndex === undefined) {
    atIndex = new Map();
    ledger.entries.set(index, atIndex);
  }
  const known = atIndex.get(term);
  if (known === undefined) atIndex.set(term, { hash, previousTerm });
  else if (known.hash !== hash || known.previousTerm !== previousTerm)
    throw new SimFailure(
      'logMatching',
      `${memory.name} has another entry at t${term}/i${index} (after t${previousTerm}) than a log before it (after t${known.previousTerm})`,
    );
  if (kind === 'configuration') {
    memory.configurationIndices.push(index);
    noteConfiguration(ledger, memory, index, term, data);
  }
}

function noteConfiguration(
  ledger: RangeLedger,
  memory: ReplicaMemory,
  index: number,
  term: number,
  data: Uint8Array,
): void {
  const decoded = decodeConfiguration(data);
  if (!decoded.ok)
    throw new SimFailure('configuration', `${memory.name} i${index}: ${decoded.reason}`);
  let atIndex = ledger.configurations.get(index);
  if (atIndex === undefined) {
    atIndex = new Map();
    ledger.configurations.set(index, atIndex);
  }
  atIndex.set(term, decoded.configuration);
}

/** All that can be read: a damaged entry on disk ends it, which the replica itself has yet to find out. */
function* entriesFrom(log: Log, from: number): Generator<LogEntry> {
  const end = log.lastIndex + 1;
  let next = from;
  while (next < end) {
    let slice: readonly LogEntry[];
    try {
      slice = log.slice(next, toLogIndex(end), Number.POSITIVE_INFINITY);
    } catch (error) {
      if (error instanceof FatalError) return;
      throw error;
    }
    yield* slice;
    next += slice.length;
  }
}
