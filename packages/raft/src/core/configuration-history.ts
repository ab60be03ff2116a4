/**
 * The configurations that one replica's log holds, and the one before them. The newest is in force, committed or not
 * (Raft §6); when entries are truncated, the one before is again. Knows indexes; knows no roles and no messages.
 */
import { assert } from '@flotilla/base';
import type { Configuration } from '../messages.ts';

/** Of a replica without a state: nobody votes, nobody is a member. */
export const noConfiguration: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  storeOf: new Map(),
};

interface Version {
  readonly index: number;
  readonly configuration: Configuration;
}

export class ConfigurationHistory {
  /** Ascending. The first is committed: nothing goes back behind it. Never empty. */
  private versions: Version[];

  /** @param index up to which `base` is in force; its own entry may lie below */
  constructor(base: Configuration | undefined, index: number) {
    this.versions = [{ index, configuration: base ?? noConfiguration }];
  }

  get active(): Configuration {
    return this.newest().configuration;
  }
  /** Where the active configuration was appended, or the index that it was said to be in force at. */
  get activeIndex(): number {
    return this.newest().index;
  }
  /** Of the oldest version that is still known. */
  get baseIndex(): number {
    return (this.versions[0] as Version).index;
  }
  /** True if a version was appended at this index. */
  has(index: number): boolean {
    return this.versions.some((version) => version.index === index);
  }

  /** Of any version, oldest first. */
  some(matches: (configuration: Configuration) => boolean): boolean {
    return this.versions.some((version) => matches(version.configuration));
  }

  append(index: number, configuration: Configuration): void {
    assert(index > this.activeIndex, 'configurations follow each other', { index });
    this.versions.push({ index, configuration });
  }

  /** Entries at or above `index` are gone. True if another configuration is in force now. */
  truncateFrom(index: number): boolean {
    const before = this.versions.length;
    while (this.versions.length > 1 && this.activeIndex >= index) this.versions.pop();
    assert(this.activeIndex < index, 'a committed configuration is not truncated', { index });
    return this.versions.length < before;
  }

  /** Entries up to `index` are committed: forgets what nobody can go back to. */
  settle(index: number): void {
    let keep = 0;
    while (keep + 1 < this.versions.length && (this.versions[keep + 1] as Version).index <= index)
      keep++;
    if (keep > 0) this.versions.splice(0, keep);
  }

  /** A snapshot replaces everything up to `index`. */
  restart(index: number, configuration: Configuration, keepTail: boolean): void {
    const tail = keepTail ? this.versions.filter((version) => version.index > index) : [];
    this.versions = [{ index, configuration }, ...tail];
  }

  private newest(): Version {
    return this.versions[this.versions.length - 1] as Version;
  }
}
