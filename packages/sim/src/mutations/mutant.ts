/**
 * A planted bug, as data: which text of which source becomes which other text, what rule that breaks, and in which kind of
 * world it is likely to be noticed. Pure; reads no files and runs nothing.
 */
import type { RaftTimings } from '@flotilla/raft';
import type { FaultClass, Swarm, Weights } from '../swarm.ts';

/** One replacement of text that stands in a source exactly once. */
export interface Change {
  /** From the root of the tree. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** Elections take a third of the usual time. */
export const quick: RaftTimings = {
  electionTimeoutMs: 300,
  electionJitterMs: 100,
  heartbeatIntervalMs: 60,
  leaseDurationMs: 270,
};

/** The world that a mutant is hunted in: of a seed's own choices, only what is said here is changed. */
export interface Hunt {
  /** These classes of faults, instead of the seed's own. */
  readonly only?: readonly FaultClass[];
  readonly weights?: Weights;
  readonly swarm?: Partial<Omit<Swarm, 'seed' | 'faultClasses' | 'weights'>>;
}

/** For what comes about too seldom in any world: a test that was written for the rule. */
export interface Directed {
  /** From the root of the tree. It fails with the bug and passes without it. */
  readonly test: string;
  /** What has to come together, that seeds do not find it. */
  readonly because: string;
}

export interface Mutant {
  /** Kebab-case, unique: what `--only` takes. */
  readonly name: string;
  /** The rule and where it stands. */
  readonly breaks: string;
  /** More than one where the first alone is covered by a second rule; `breaks` says so then. */
  readonly changes: readonly Change[];
  readonly hunt: Hunt | Directed;
  /** No seed has shown it so far, and why: a campaign leaves it out unless it is named. */
  readonly unfound?: string;
  /** The program does the same without the rule, and why: nothing is there to be found. Left out like `unfound`. */
  readonly equivalent?: string;
}

export function isDirected(hunt: Hunt | Directed): hunt is Directed {
  return 'test' in hunt;
}

/** True if a campaign has to find it. */
export function isHunted({ unfound, equivalent }: Mutant): boolean {
  return unfound === undefined && equivalent === undefined;
}

/** Throws unless `find` stands in the text exactly once. */
export function applyChange(text: string, { file, find, replace }: Change): string {
  const at = text.indexOf(find);
  if (at < 0) throw new Error(`${file}: not found: ${find}`);
  if (text.indexOf(find, at + 1) >= 0) throw new Error(`${file}: more than once: ${find}`);
  return text.slice(0, at) + replace + text.slice(at + find.length);
}

/** The sources that a mutant changes, as they are with it. @param read the text of a source */
export function mutatedSources(
  { changes }: Mutant,
  read: (file: string) => string,
): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const change of changes)
    texts.set(change.file, applyChange(texts.get(change.file) ?? read(change.file), change));
  return texts;
}
