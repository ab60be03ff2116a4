/** The catalog as expressions of one session see it: names by the session's search_path, and the session's sequences. */
import type { Authority } from '../roles/authority.ts';
import type { SequenceDescriptor } from './descriptor.ts';
import type { NameResolver } from './name-resolver.ts';
import type { SequenceState } from './sequences.ts';

export interface CatalogAccess {
  readonly names: NameResolver;
  readonly sequences: SequenceAccess;
  /** What the present user may do. */
  readonly authority: Authority;
  /** As `authority`, of another role. */
  authorityOf(role: string): Authority;
}

/** Methods that need what is not at hand throw PendingWork (execute/pending.ts). */
export interface SequenceAccess {
  /** Throws 2200H. */
  nextval(sequence: SequenceDescriptor): bigint;
  /** Throws 55000. */
  currval(sequence: SequenceDescriptor): bigint;
  /** Throws 55000. */
  lastval(): bigint;
  /** Throws 22003. */
  setval(sequence: SequenceDescriptor, value: bigint, called: boolean): bigint;
  state(sequence: SequenceDescriptor): Promise<SequenceState>;
  /** An evaluation begins. */
  begin(): void;
  /** The evaluation that began last is done again: it is to get the same values. */
  rewind(): void;
}
