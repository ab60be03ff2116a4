/**
 * Evaluated commands on their way through the log: gathered into batches, one log entry each, then proposed, then found
 * again when their entry is applied. Owned by one leaseholder, which evaluates and answers; knows the order of the log
 * and nothing of what the commands mean.
 */
import { assert, type Term } from '@flotilla/base';
import type { LogEntry, ProposeResult } from '@flotilla/raft';
import type { Answer, Caller } from './answers.ts';
import { type Command, type CommandBatch, encodeCommandBatch, type RangeSplit } from './command.ts';

export interface PendingCommand {
  readonly command: Command;
  readonly bytes: number;
  /** The first asker and its duplicates; none for an internal write. */
  readonly callers: Caller[];
  /** What they hear when it is applied, if that is not what the command itself says. */
  readonly answer: Answer | undefined;
}

/** Commands that share a log entry. */
export interface PendingBatch {
  readonly commands: PendingCommand[];
  /** Of the bounds under which the commands were evaluated. */
  readonly generation: number;
  bytes: number;
  /** 0 until proposed. */
  index: number;
  /** As in `CommandBatch`. */
  expireSessionsBefore: number;
  /** Set: the batch is this and nothing else, and the asker hears what becomes of it. */
  readonly split: PendingSplit | undefined;
}

export interface PendingSplit {
  readonly split: RangeSplit;
  /** Called once. */
  readonly onDone: (outcome: SplitOutcome) => void;
  /** Set when its entry is applied: false if the range had changed before it. */
  tookEffect: boolean;
}

/** `void`: the range had changed. `abandoned`: it surely did nothing. `unknown`: leadership was lost meanwhile. */
export type SplitOutcome = 'applied' | 'void' | 'abandoned' | 'unknown';

export class Proposals {
  private readonly term: Term;
  private readonly entryBytesTarget: number;
  /** Batches not yet proposed, then proposed ones, each in log order. */
  private open: PendingBatch[] = [];
  private proposed: PendingBatch[] = [];
  private newestIndex = 0;

  constructor(term: Term, entryBytesTarget: number) {
    this.term = term;
    this.entryBytesTarget = entryBytesTarget;
  }

  get isEmpty(): boolean {
    return this.proposed.length === 0 && this.open.length === 0;
  }

  /** In the log; 0: nothing was proposed yet. */
  get lastIndex(): number {
    return this.newestIndex;
  }

  /** Something waits to be proposed. */
  get hasOpen(): boolean {
    return this.open.length > 0;
  }

  /**
   * @param generation of the bounds that the command was evaluated under
   * @returns the batch it joined: the last one, so that everything evaluated before is in it or ahead of it
   */
  add(pending: PendingCommand, generation: number): PendingBatch {
    let batch = this.open.at(-1);
    if (
      batch === undefined ||
      batch.bytes + pending.bytes > this.entryBytesTarget ||
      batch.generation !== generation ||
      batch.split !== undefined
    ) {
      batch = newBatch(generation, undefined);
      this.open.push(batch);
    }
    batch.commands.push(pending);
    batch.bytes += pending.bytes;
    return batch;
  }

  /** A split, behind everything that was evaluated so far. */
  addSplit(pending: PendingSplit, generation: number): void {
    this.open.push(newBatch(generation, pending));
  }

  /** Hands open batches to the log, in order, as long as it takes them. */
  proposeOpen(propose: (data: Uint8Array) => ProposeResult): void {
    for (let batch = this.open[0]; batch !== undefined; batch = this.open[0]) {
      const result = propose(encodeCommandBatch(this.asCommands(batch)));
      if (!result.ok) return;
      batch.index = result.index;
      this.newestIndex = result.index;
      this.open.shift();
      this.proposed.push(batch);
    }
  }

  /** The batch that was proposed as `entry`, or undefined: the entry is somebody else's. */
  take(entry: LogEntry): { batch: PendingBatch; commands: CommandBatch } | undefined {
    const batch = this.proposed[0];
    if (batch === undefined || entry.term !== this.term || batch.index !== entry.index) {
      assert(
        batch === undefined || entry.term < this.term || batch.index > entry.index,
        'proposed entries are applied in order',
        { index: entry.index, expected: batch?.index },
      );
      return undefined;
    }
    this.proposed.shift();
    return { batch, commands: this.asCommands(batch) };
  }

  /** Empties it. What was proposed may yet be committed by others; what was open surely did nothing. */
  abandon(): {
    readonly proposed: readonly PendingBatch[];
    readonly open: readonly PendingBatch[];
  } {
    const { proposed, open } = this;
    this.proposed = [];
    this.open = [];
    return { proposed, open };
  }

  private asCommands(batch: PendingBatch): CommandBatch {
    return {
      commands: batch.commands.map((pending) => pending.command),
      generation: batch.generation,
      term: this.term,
      expireSessionsBefore: batch.expireSessionsBefore,
      split: batch.split?.split,
    };
  }
}

function newBatch(generation: number, split: PendingSplit | undefined): PendingBatch {
  return { commands: [], generation, bytes: 0, index: 0, expireSessionsBefore: 0, split };
}
