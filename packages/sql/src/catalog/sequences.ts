/**
 * Values of sequences. A process takes a block of values at once and hands them out to all its sessions; what it does not
 * use is lost, as with PostgreSQL's CACHE. Values are taken outside of any transaction and never given back.
 */
import { DbError } from '@flotilla/base';
import type { KvDatabase } from '../kv-transaction.ts';
import { conflictRunsMax, sequenceBlock } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { tableKeyPrefix } from '../storage/table-store.ts';
import type { SequenceDescriptor } from './descriptor.ts';

/** What PostgreSQL shows as last_value and is_called. */
export interface SequenceState {
  readonly last: bigint;
  readonly called: boolean;
}

interface Block {
  next: bigint;
  left: number;
}

export class Sequences {
  private readonly database: KvDatabase;
  private readonly blocks = new Map<number, Block>();
  private readonly taking = new Map<number, Promise<void>>();

  constructor(database: KvDatabase) {
    this.database = database;
  }

  /** A value that is at hand. Undefined: `reserve` first. */
  take(sequence: SequenceDescriptor): bigint | undefined {
    const block = this.blocks.get(sequence.storageId);
    if (block === undefined || block.left === 0) return undefined;
    const value = block.next;
    block.left--;
    block.next += sequence.options.increment;
    return value;
  }

  /** Takes a block, unless one is being taken. Throws 2200H, DbError. */
  async reserve(sequence: SequenceDescriptor): Promise<void> {
    const { storageId } = sequence;
    let taking = this.taking.get(storageId);
    if (taking === undefined) {
      taking = this.takeBlock(sequence).finally(() => this.taking.delete(storageId));
      this.taking.set(storageId, taking);
    }
    await taking;
  }

  /** Throws 22003, DbError. */
  async set(sequence: SequenceDescriptor, last: bigint, called: boolean): Promise<void> {
    const { minimum, maximum } = sequence.options;
    if (last < minimum || last > maximum)
      throw new SqlError(
        '22003',
        `setval: value ${last} is out of bounds for sequence "${sequence.name}" (${minimum}..${maximum})`,
      );
    const transaction = this.database.begin();
    transaction.put(stateKey(sequence), encodeState({ last, called }));
    await transaction.commit();
    this.blocks.delete(sequence.storageId);
  }

  async state(sequence: SequenceDescriptor): Promise<SequenceState> {
    const bytes = await this.database.begin({ readOnly: true }).get(stateKey(sequence));
    return decodeState(bytes, sequence);
  }

  private async takeBlock(sequence: SequenceDescriptor): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const transaction = this.database.begin();
      const key = stateKey(sequence);
      const state = decodeState(await transaction.get(key), sequence);
      const { first, count, last } = nextBlock(sequence, state);
      transaction.put(key, encodeState({ last, called: true }));
      try {
        await transaction.commit();
      } catch (error) {
        const conflict = error instanceof DbError && error.code === 'CONFLICT';
        if (!conflict || attempt >= conflictRunsMax) throw error;
        continue;
      }
      this.blocks.set(sequence.storageId, { next: first, left: count });
      return;
    }
  }
}

/** The values after a state: as many as may be taken at once without passing the sequence's end. Throws 2200H. */
function nextBlock(
  { name, options }: SequenceDescriptor,
  state: SequenceState,
): { readonly first: bigint; readonly count: number; readonly last: bigint } {
  const { increment, minimum, maximum, cycle, cache } = options;
  const up = increment > 0n;
  let first = state.called ? state.last + increment : state.last;
  if (up ? first > maximum : first < minimum) {
    if (!cycle)
      throw new SqlError(
        '2200H',
        up
          ? `nextval: reached maximum value of sequence "${name}" (${maximum})`
          : `nextval: reached minimum value of sequence "${name}" (${minimum})`,
      );
    first = up ? minimum : maximum;
  }
  const room = (up ? maximum - first : minimum - first) / increment + 1n;
  const wanted = cache > BigInt(sequenceBlock) ? cache : BigInt(sequenceBlock);
  const count = room < wanted ? room : wanted;
  return { first, count: Number(count), last: first + (count - 1n) * increment };
}

/** The state of a sequence that is to give `start` first. */
export function sequenceStart(
  storageId: number,
  start: bigint,
): { readonly key: Uint8Array; readonly value: Uint8Array } {
  return { key: tableKeyPrefix(storageId), value: encodeState({ last: start, called: false }) };
}

function stateKey(sequence: SequenceDescriptor): Uint8Array {
  return tableKeyPrefix(sequence.storageId);
}

function encodeState({ last, called }: SequenceState): Uint8Array {
  return Buffer.from(`${last}${called ? '' : ' not called'}`, 'latin1');
}

/** A sequence without a state stands before its start. */
function decodeState(bytes: Uint8Array | undefined, sequence: SequenceDescriptor): SequenceState {
  if (bytes === undefined) return { last: sequence.options.start, called: false };
  const match = /^(-?\d+)( not called)?$/.exec(Buffer.from(bytes).toString('latin1'));
  if (match === null) throw new DbError('CORRUPTION', 'sequence has no valid state');
  return { last: BigInt(match[1] ?? 0), called: match[2] === undefined };
}
