/** Prints messages, entries and Readys as golden scripts and failures show them: `r1/2 t5 i42`. */
import { decodeConfiguration } from '../configuration-codec.ts';
import type { Ready } from '../core/raft-core.ts';
import type { Configuration, LogEntry, RaftMessage } from '../messages.ts';

export function formatEntry(entry: LogEntry): string {
  const name = `t${entry.term}/i${entry.index}`;
  switch (entry.kind) {
    case 'command':
      return `${name}:${Buffer.from(entry.data).toString('latin1')}`;
    case 'configuration': {
      const decoded = decodeConfiguration(entry.data);
      return `${name}:${decoded.ok ? formatConfiguration(decoded.configuration) : decoded.reason}`;
    }
    default:
      return `${name}:${entry.kind}`;
  }
}

/** `{1 2 3}`, `{1 2 4 from 1 2 3}` in joint consensus, `{1 2 3 learners 4}`. */
export function formatConfiguration(configuration: Configuration | undefined): string {
  if (configuration === undefined) return '{}';
  const { voters, votersOutgoing, learners } = configuration;
  const outgoing = votersOutgoing.length > 0 ? ` from ${votersOutgoing.join(' ')}` : '';
  return `{${voters.join(' ')}${outgoing}${learners.length > 0 ? ` learners ${learners.join(' ')}` : ''}}`;
}

export function formatEntries(entries: readonly LogEntry[]): string {
  return `[${entries.map(formatEntry).join(' ')}]`;
}

/** One line per message: sender and its term, receiver, kind, and the fields that the kind has. */
export function formatMessage(message: RaftMessage): string {
  const { rangeId, from, to, term } = message;
  const name = message.kind.charAt(0).toUpperCase() + message.kind.slice(1);
  return `r${rangeId}/${from} t${term} → r${rangeId}/${to} ${name}${formatFields(message)}`;
}

function formatFields(message: RaftMessage): string {
  switch (message.kind) {
    case 'appendEntriesRequest': {
      const read = message.readSequence > 0 ? ` read=${message.readSequence}` : '';
      const replicated =
        message.replicatedIndex > 0 ? ` replicated=i${message.replicatedIndex}` : '';
      return (
        ` prev=t${message.prevLogTerm}/i${message.prevLogIndex}` +
        ` entries=${formatEntries(message.entries)} commit=i${message.leaderCommit}` +
        `${read}${replicated}`
      );
    }
    case 'appendEntriesResponse': {
      const read = message.readSequence > 0 ? ` read=${message.readSequence}` : '';
      if (message.success) return ` success match=i${message.matchIndex}${read}`;
      if (message.needsSnapshot) return ` refused needs a snapshot${read}`;
      return (
        ` refused prev=i${message.rejectedIndex}` +
        ` conflict=t${message.conflictTerm}/i${message.conflictIndex}${read}`
      );
    }
    case 'requestVoteRequest': {
      const transfer = message.leadershipTransfer ? ' transfer' : '';
      return ` last=t${message.lastLogTerm}/i${message.lastLogIndex}${transfer}`;
    }
    case 'preVoteRequest':
      return ` last=t${message.lastLogTerm}/i${message.lastLogIndex}`;
    case 'requestVoteResponse':
    case 'preVoteResponse':
      return message.voteGranted ? ' granted' : ' refused';
    case 'timeoutNow':
      return ` last=i${message.lastLogIndex}`;
    case 'readIndexRequest':
      return ` context=${message.context}`;
    case 'readIndexResponse':
      return message.success
        ? ` context=${message.context} index=i${message.readIndex}`
        : ` context=${message.context} refused`;
  }
}

/** What a Ready tells the driver, one line per instruction; without messages, which the network prints. */
export function formatReady(ready: Ready): string[] {
  const lines: string[] = [];
  if (ready.softState !== undefined) {
    const { role, term, leader } = ready.softState;
    lines.push(`${role} t${term}${leader === undefined ? '' : ` leader=${leader}`}`);
  }
  if (ready.snapshotsWanted.length > 0)
    lines.push(`wants a snapshot for ${ready.snapshotsWanted.join(' ')}`);
  if (ready.mustSync) {
    const { hardState, entries, snapshot } = ready;
    const state =
      hardState === undefined
        ? ''
        : ` term=${hardState.currentTerm} vote=${hardState.votedFor ?? '-'} commit=i${hardState.commitIndex}`;
    const replaced =
      snapshot === undefined
        ? ''
        : ` snapshot=t${snapshot.lastIncludedTerm}/i${snapshot.lastIncludedIndex}` +
          `:${formatConfiguration(snapshot.configuration)}`;
    lines.push(
      `persist${state}${replaced}${entries.length > 0 ? ` entries=${formatEntries(entries)}` : ''}`,
    );
  }
  if (ready.committed.length > 0) lines.push(`apply ${formatEntries(ready.committed)}`);
  for (const read of ready.reads)
    lines.push(
      read.ok
        ? `read ${read.context} at i${read.index}`
        : `read ${read.context} failed leader=${read.leader ?? '-'}`,
    );
  return lines;
}
