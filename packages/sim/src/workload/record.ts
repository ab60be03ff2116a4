/** Everything that the clients of a run were told, and what is judged of it at the end. */
import { checkKey } from '../check/key-check.ts';
import { SimFailure } from '../failure.ts';
import { KeyHistory } from './key-history.ts';

/** What became of an attempt to add a tag to a list. */
export type TagFate = 'added' | 'refused' | 'unknown';

export class Record {
  ok = 0;
  unknown = 0;
  failed = 0;
  private readonly keys = new Map<string, KeyHistory>();
  /** By list, then tag. */
  private readonly tags = new Map<string, Map<string, TagFate>>();

  key(name: string): KeyHistory {
    let history = this.keys.get(name);
    if (history === undefined) {
      history = new KeyHistory();
      this.keys.set(name, history);
    }
    return history;
  }

  tag(list: string, tag: string, fate: TagFate): void {
    let fates = this.tags.get(list);
    if (fates === undefined) {
      fates = new Map();
      this.tags.set(list, fates);
    }
    fates.set(tag, fate);
  }

  lists(): readonly string[] {
    return [...this.tags.keys()];
  }

  /** Every tag that was added is there once, none that was refused, no tag twice. Throws SimFailure. */
  checkList(list: string, found: readonly string[]): void {
    const counts = new Map<string, number>();
    for (const tag of found) counts.set(tag, (counts.get(tag) ?? 0) + 1);
    for (const [tag, fate] of this.tags.get(list) ?? []) {
      const count = counts.get(tag) ?? 0;
      const right = fate === 'added' ? count === 1 : fate === 'refused' ? count === 0 : count <= 1;
      if (!right)
        throw new SimFailure(
          'exactlyOnce',
          `${list}: tag ${tag} was ${fate}, is there ${count} times`,
        );
    }
    for (const tag of counts.keys())
      if (!this.tags.get(list)?.has(tag))
        throw new SimFailure('exactlyOnce', `${list}: tag ${tag} was added by nobody`);
  }

  /** Throws SimFailure. @returns how many operations were judged */
  checkKeys(): number {
    let judged = 0;
    for (const [name, history] of this.keys) judged += checkKey(name, history);
    return judged;
  }
}
