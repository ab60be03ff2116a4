/** One session's dealings with sequences: what its expressions take of them, and what it took last. */
import { PendingWork } from '../execute/pending.ts';
import { SqlError } from '../sql-error.ts';
import type { SequenceAccess } from './catalog-access.ts';
import type { SequenceDescriptor } from './descriptor.ts';
import type { SequenceState, Sequences } from './sequences.ts';

class Pending extends PendingWork {
  private readonly work: () => Promise<void>;

  constructor(work: () => Promise<void>) {
    super();
    this.work = work;
  }

  complete(): Promise<void> {
    return this.work();
  }
}

/** What an evaluation has done to a sequence: `next` and its oid, or `set`, its oid and what to. */
interface Step {
  readonly key: string;
  readonly value: bigint;
}

/** currval and lastval are a session's own. */
export class SessionSequences implements SequenceAccess {
  private readonly shared: Sequences;
  private readonly current = new Map<number, bigint>();
  /** What the evaluation under way has done. */
  private taken: Step[] = [];
  /** What an evaluation did which has to be done again: it is not to happen twice. */
  private again: Step[] = [];
  private last: number | undefined;

  constructor(shared: Sequences) {
    this.shared = shared;
  }

  /** Throws PendingWork, 2200H. */
  nextval(sequence: SequenceDescriptor): bigint {
    const key = `next ${sequence.id}`;
    const value = this.takeAgain(key) ?? this.shared.take(sequence);
    if (value === undefined) throw new Pending(() => this.shared.reserve(sequence));
    this.taken.push({ key, value });
    this.current.set(sequence.id, value);
    this.last = sequence.id;
    return value;
  }

  /** An evaluation begins. */
  begin(): void {
    if (this.taken.length > 0) this.taken = [];
  }

  /** The evaluation that began last is done again: it is to get the same values. */
  rewind(): void {
    this.again.unshift(...this.taken);
    this.taken = [];
  }

  private takeAgain(key: string): bigint | undefined {
    const at = this.again.findIndex((one) => one.key === key);
    return at < 0 ? undefined : this.again.splice(at, 1)[0]?.value;
  }

  /** Throws 55000. */
  currval(sequence: SequenceDescriptor): bigint {
    const value = this.current.get(sequence.id);
    if (value !== undefined) return value;
    throw new SqlError(
      '55000',
      `currval of sequence "${sequence.name}" is not yet defined in this session`,
    );
  }

  /** Throws 55000. */
  lastval(): bigint {
    const value = this.last === undefined ? undefined : this.current.get(this.last);
    if (value === undefined)
      throw new SqlError('55000', 'lastval is not yet defined in this session');
    return value;
  }

  /** Throws PendingWork, 22003. */
  setval(sequence: SequenceDescriptor, value: bigint, called: boolean): bigint {
    const key = `set ${sequence.id} ${value} ${called}`;
    if (this.takeAgain(key) === undefined)
      throw new Pending(async () => {
        await this.shared.set(sequence, value, called);
        this.again.push({ key, value });
      });
    this.taken.push({ key, value });
    if (called) this.current.set(sequence.id, value);
    return value;
  }

  state(sequence: SequenceDescriptor): Promise<SequenceState> {
    return this.shared.state(sequence);
  }

  /** DISCARD ALL. */
  forget(): void {
    this.current.clear();
    this.last = undefined;
  }
}
