/**
 * What the checkers remember of a range: every entry that any log ever held, what was committed, and what each replica's
 * log looked like last. Filled by `invariants.ts`; the rules are in the files beside this one, one each.
 */
import type { Configuration } from '@flotilla/raft';

/** An entry as somebody's log held it. Its range, index and term say who it is. */
export interface EntryFacts {
  readonly hash: number;
  /** Term of the entry before it in that log. */
  readonly previousTerm: number;
}

/** What a candidate says of its log. */
export interface Candidacy {
  readonly lastLogIndex: number;
  readonly lastLogTerm: number;
}

export class RangeLedger {
  readonly rangeId: number;
  /** Entries by index, then term. */
  readonly entries: Map<number, Map<number, EntryFacts>> = new Map();
  /** Configuration entries by index, then term. */
  readonly configurations: Map<number, Map<number, Configuration>> = new Map();
  /** Term of the committed entry, by index. Missing where nobody was seen with it. */
  readonly committedTerm: number[] = [];
  /** A term at or above the one in which it was committed, by index. */
  readonly committedBy: number[] = [];
  committedIndex = 0;
  /** Of the committed entries. */
  newestCommittedTerm = 0;
  /** Committed since the last look: index, and who had it first. */
  fresh: { readonly index: number; readonly by: ReplicaMemory }[] = [];
  readonly replicas: Map<number, ReplicaMemory> = new Map();
  /** Those whose disk was lost later: what they acknowledged while they had it was true, and may still commit. */
  readonly lost: Map<number, ReplicaMemory> = new Map();
  /** Candidates' logs when they campaigned, by term and replica. */
  readonly candidacies: Map<string, Candidacy> = new Map();
  /** Who was asked to campaign at once: term and replica. */
  readonly asked: Set<string> = new Set();
  /** Leader's name, by term. */
  readonly leaders: Map<number, string> = new Map();

  constructor(rangeId: number) {
    this.rangeId = rangeId;
  }

  facts(index: number, term: number): EntryFacts | undefined {
    return this.entries.get(index)?.get(term);
  }
}

/** What a replica has said on the wire that is on its disk. */
export interface Promised {
  readonly term: number;
  /** Undefined: none in this term. */
  readonly votedFor: number | undefined;
}

/** One replica as it was at the last look, also after its process has died. */
export class ReplicaMemory {
  readonly replicaId: number;
  /** `r3/2 on store-1`. */
  readonly name: string;
  readonly machine: object;
  /** Of the process, when it was last seen. */
  life = -1;
  /** Its consensus, when it was last seen: another one means that it was removed and made anew. */
  core: object | undefined;
  /** The term that it leads or led last; 0: none. */
  leaderTerm = 0;
  term = 0;
  commitIndex = 0;
  lastApplied = 0;
  /** Entries up to it are on its disk. */
  persistedIndex = 0;
  /** A vote that is on its disk, with its term. */
  durableVote: { readonly term: number; readonly votedFor: number | undefined } | undefined;
  /** Since when its process has run without a stop, by its host's clock. */
  awakeSinceMs: number | undefined;
  /** Whose majority it asks for, and since when it was seen to, by its host's clock. */
  askedVoters: Configuration | undefined;
  askedSinceMs = 0;
  /** What it has said last, to whomever. */
  promised: Promised | undefined;
  /** Its log ends here. */
  lastIndex = 0;
  /** `terms[i]` is the term of entry `base + i`. */
  base = 0;
  terms: number[] = [];
  /** Indices of configuration entries in its log, ascending. */
  configurationIndices: number[] = [];
  configuration: Configuration | undefined;
  /** The configuration of the look before the last. */
  configurationBefore: Configuration | undefined;
  /** As a leader that does not know that it was replaced: the newest read round that it had sent by then. */
  roundsWhenReplaced: { readonly term: number; readonly sent: number } | undefined;
  /** As a leader: committed entries up to it were looked for in its log. */
  completeUpTo = 0;

  constructor(rangeId: number, replicaId: number, host: string, machine: object) {
    this.replicaId = replicaId;
    this.name = `r${rangeId}/${replicaId} on ${host}`;
    this.machine = machine;
  }

  /** Term of the entry, or undefined where the log was not seen. */
  termAt(index: number): number | undefined {
    return index < this.base ? undefined : this.terms[index - this.base];
  }

  /** From now on the log is known from `base` to its end. */
  forgetLog(base: number): void {
    this.base = base;
    this.terms = [];
    this.lastIndex = base - 1;
    this.configurationIndices = [];
  }

  /** The log begins here by now. What it held below before, a snapshot may have replaced. */
  dropBelow(firstIndex: number): void {
    this.terms.splice(0, firstIndex - this.base);
    this.base = firstIndex;
  }

  truncateTo(last: number): void {
    this.terms.length = Math.max(0, last - this.base + 1);
    this.lastIndex = last;
    while ((this.configurationIndices.at(-1) ?? 0) > last) this.configurationIndices.pop();
  }

  append(index: number, term: number): void {
    this.terms[index - this.base] = term;
    this.lastIndex = index;
  }
}
