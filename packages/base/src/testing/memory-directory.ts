/** Names of a MemoryDisk. Creates, renames and removes reach the disk at `sync` of their directory, or by luck. */
import { present } from '../assert.ts';
import type { Prng } from '../prng.ts';
import type { MemoryInode } from './memory-inode.ts';

type Change =
  | { readonly kind: 'create'; readonly path: string; readonly inode: MemoryInode }
  | { readonly kind: 'remove'; readonly path: string }
  | {
      readonly kind: 'rename';
      readonly from: string;
      readonly path: string;
      readonly inode: MemoryInode;
    };

export class MemoryDirectory {
  private current = new Map<string, MemoryInode>();
  private durable = new Map<string, MemoryInode>();
  private changes: Change[] = [];

  lookup(path: string): MemoryInode | undefined {
    return this.current.get(path);
  }

  entries(): IterableIterator<[string, MemoryInode]> {
    return this.current.entries();
  }

  inodes(): Set<MemoryInode> {
    return new Set([...this.current.values(), ...this.durable.values()]);
  }

  list(directory: string): string[] {
    const prefix = directory === '' ? '' : `${directory}/`;
    const names = new Set<string>();
    for (const path of this.current.keys())
      if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split('/')[0] ?? '');
    return [...names].sort();
  }

  create(path: string, inode: MemoryInode): void {
    this.make({ kind: 'create', path, inode });
  }

  remove(path: string): void {
    this.make({ kind: 'remove', path });
  }

  rename(from: string, to: string): void {
    const inode = present(this.current.get(from), 'the file to rename');
    this.make({ kind: 'rename', from, path: to, inode });
  }

  addDurably(path: string, inode: MemoryInode): void {
    this.current.set(path, inode);
    this.durable.set(path, inode);
  }

  sync(directory: string): void {
    for (const change of this.takeChanges(directory)) perform(this.durable, change);
  }

  /** A sync of the directory failed: its changes are seen and will never be on disk. */
  forgetDirty(directory: string): void {
    this.takeChanges(directory);
  }

  /** Each unsynced change happened or did not, independently of the others. */
  crash(prng: Prng): void {
    for (const change of this.changes) if (prng.nextBelow(2) === 0) perform(this.durable, change);
    this.changes = [];
    this.current = new Map(this.durable);
  }

  private takeChanges(directory: string): Change[] {
    const isHere = ({ path }: Change): boolean =>
      path.slice(0, Math.max(0, path.lastIndexOf('/'))) === directory;
    const taken = this.changes.filter(isHere);
    this.changes = this.changes.filter((change) => !isHere(change));
    return taken;
  }

  private make(change: Change): void {
    perform(this.current, change);
    this.changes.push(change);
  }
}

function perform(names: Map<string, MemoryInode>, change: Change): void {
  if (change.kind === 'create') {
    names.set(change.path, change.inode);
  } else if (change.kind === 'remove') {
    names.delete(change.path);
  } else {
    // The file is moved even if the change that gave it its old name was lost.
    names.delete(change.from);
    names.set(change.path, change.inode);
  }
}
