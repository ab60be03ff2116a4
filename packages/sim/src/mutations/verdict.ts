/** What a failing seed says about a mutant: how the bug was noticed, or that nothing was shown. Pure. */
import type { Report } from '../campaign/job.ts';

export type Death =
  /** A property of the simulator did not hold. */
  | 'checker'
  /** A process refused to go on: an assertion of its own, or what it found on its disk. */
  | 'assertion'
  /** The world was well and the cluster was not, or the seed did not come to an end. */
  | 'liveness'
  /** A test that was written for the rule fails. */
  | 'test';

export type Verdict =
  | { readonly kind: 'killed'; readonly death: Death; readonly reported: string }
  | { readonly kind: 'lives' }
  /** The planted text does not run: this proves nothing about the rule. */
  | { readonly kind: 'broken'; readonly reported: string };

/** What code that is not well formed dies of, as opposed to code that does the wrong thing. */
const malformed = /\b(TypeError|ReferenceError|SyntaxError|ERR_MODULE_NOT_FOUND)\b/;

export function verdictOf({ failure }: Pick<Report, 'failure'>): Verdict {
  if (failure === undefined || failure.kind === 'undecided') return { kind: 'lives' };
  const { kind, message } = failure;
  const reported = `${kind}: ${firstLine(message)}`;
  if (malformed.test(message)) return { kind: 'broken', reported };
  switch (kind) {
    case 'simulator':
      // The pool ends a process that does not answer.
      if (message.includes('SIGKILL'))
        return { kind: 'killed', death: 'liveness', reported: 'the seed does not end' };
      // Founding goes without faults: nobody leads.
      if (message.startsWith('DbError: founded, but'))
        return { kind: 'killed', death: 'liveness', reported: firstLine(message) };
      return { kind: 'broken', reported };
    case 'liveness':
      return { kind: 'killed', death: 'liveness', reported };
    case 'exit':
      return { kind: 'killed', death: 'assertion', reported };
    default:
      return { kind: 'killed', death: 'checker', reported };
  }
}

export function firstLine(message: string): string {
  return (message.split('\n')[0] ?? '').trim();
}
