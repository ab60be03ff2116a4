/**
 * What every Disk must do. Cases, not tests: a test file runs each on its own disk and empty directory, whatever the
 * test framework.
 */
import { deepStrictEqual, rejects, strictEqual, throws } from 'node:assert/strict';
import type { Disk } from '../disk.ts';

export interface DiskCase {
  readonly title: string;
  /** @param directory exists and is empty */
  run(disk: Disk, directory: string): Promise<void>;
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
const plain = (value: Uint8Array | undefined): number[] | undefined => value && [...value];

export const diskCases: readonly DiskCase[] = [
  {
    title: 'create makes an empty file and refuses one that exists',
    async run(disk, directory) {
      const file = await disk.open(`${directory}/a`, 'create');
      strictEqual(file.size(), 0);
      await file.close();
      await rejects(disk.open(`${directory}/a`, 'create'), { code: 'EEXIST' });
    },
  },
  {
    title: 'existing refuses a file that is not there',
    async run(disk, directory) {
      await rejects(disk.open(`${directory}/a`, 'existing'), { code: 'ENOENT' });
    },
  },
  {
    title: 'reads see writes at once, at any offset, and holes read as zeros',
    async run(disk, directory) {
      const file = await disk.open(`${directory}/a`, 'create');
      await file.write(4, bytes(1, 2, 3));
      strictEqual(file.size(), 7);
      deepStrictEqual(plain(file.readSync(0, 7)), [0, 0, 0, 0, 1, 2, 3]);
      await file.write(5, bytes(9));
      await file.datasync();
      deepStrictEqual(plain(file.readSync(4, 3)), [1, 9, 3]);
      await file.close();
    },
  },
  {
    title: 'a read past the end throws',
    async run(disk, directory) {
      const file = await disk.open(`${directory}/a`, 'create');
      await file.writeAndSync(0, bytes(1, 2, 3));
      throws(() => file.readSync(2, 2));
      await file.close();
    },
  },
  {
    title: 'what a read returned does not change with later writes',
    async run(disk, directory) {
      const file = await disk.open(`${directory}/a`, 'create');
      await file.writeAndSync(0, bytes(1, 2, 3));
      const before = file.readSync(0, 3);
      await file.writeAndSync(0, bytes(7, 7, 7));
      deepStrictEqual(plain(before), [1, 2, 3]);
      await file.close();
    },
  },
  {
    title: 'writeAndSync mixes with write, and the content is there after reopening',
    async run(disk, directory) {
      const file = await disk.open(`${directory}/a`, 'create');
      await file.writeAndSync(0, filled(1000, 1));
      await file.write(500, filled(10, 2));
      await file.writeAndSync(1000, filled(700_000, 3));
      await file.close();
      const again = await disk.open(`${directory}/a`, 'existing');
      strictEqual(again.size(), 701_000);
      deepStrictEqual(plain(again.readSync(499, 12)), [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
      deepStrictEqual(plain(again.readSync(700_999, 1)), [3]);
      await again.close();
    },
  },
  {
    title: 'truncate cuts, and extends with zeros',
    async run(disk, directory) {
      const file = await disk.open(`${directory}/a`, 'create');
      await file.write(0, bytes(1, 2, 3, 4));
      await file.truncate(2);
      strictEqual(file.size(), 2);
      await file.truncate(4);
      await file.datasync();
      deepStrictEqual(plain(file.readSync(0, 4)), [1, 2, 0, 0]);
      await file.close();
    },
  },
  {
    title: 'readFile and replaceFile',
    async run(disk, directory) {
      strictEqual(await disk.readFile(`${directory}/a`), undefined);
      await disk.replaceFile(`${directory}/a`, bytes(1, 2, 3));
      await disk.replaceFile(`${directory}/a`, bytes(4));
      deepStrictEqual(plain(await disk.readFile(`${directory}/a`)), [4]);
      deepStrictEqual(await disk.list(directory), ['a']);
    },
  },
  {
    title: 'list is sorted; a missing directory is empty; subdirectories are named once',
    async run(disk, directory) {
      deepStrictEqual(await disk.list(`${directory}/none`), []);
      await disk.makeDirectory(`${directory}/deep/deeper`);
      await disk.makeDirectory(`${directory}/deep/deeper`);
      for (const name of ['b', 'a', 'deep/x', 'deep/deeper/y'])
        await disk.replaceFile(`${directory}/${name}`, bytes(0));
      deepStrictEqual(await disk.list(directory), ['a', 'b', 'deep']);
      deepStrictEqual(await disk.list(`${directory}/deep`), ['deeper', 'x']);
    },
  },
  {
    title: 'rename replaces, remove removes, both refuse what is not there',
    async run(disk, directory) {
      await disk.replaceFile(`${directory}/a`, bytes(1));
      await disk.replaceFile(`${directory}/b`, bytes(2));
      await disk.rename(`${directory}/a`, `${directory}/b`);
      await disk.syncDirectory(directory);
      deepStrictEqual(await disk.list(directory), ['b']);
      deepStrictEqual(plain(await disk.readFile(`${directory}/b`)), [1]);
      await disk.remove(`${directory}/b`);
      deepStrictEqual(await disk.list(directory), []);
      await rejects(disk.remove(`${directory}/b`), { code: 'ENOENT' });
      await rejects(disk.rename(`${directory}/b`, `${directory}/c`), { code: 'ENOENT' });
    },
  },
  {
    title: 'an open file can be removed and still be read',
    async run(disk, directory) {
      const file = await disk.open(`${directory}/a`, 'create');
      await file.writeAndSync(0, bytes(5));
      await disk.remove(`${directory}/a`);
      deepStrictEqual(plain(file.readSync(0, 1)), [5]);
      await file.close();
    },
  },
  {
    title: 'a closed file refuses everything; closing twice is harmless',
    async run(disk, directory) {
      const file = await disk.open(`${directory}/a`, 'create');
      await file.close();
      await file.close();
      await rejects(file.write(0, bytes(1)));
      await rejects(file.datasync());
      throws(() => file.readSync(0, 0));
    },
  },
  {
    title: 'a directory is locked by one holder at a time',
    async run(disk, directory) {
      const first = await disk.lock(directory);
      strictEqual(first === undefined, false);
      strictEqual(await disk.lock(directory), undefined);
      await first?.release();
      await first?.release();
      const [one, other] = await Promise.all([disk.lock(directory), disk.lock(directory)]);
      strictEqual([one, other].filter((lock) => lock !== undefined).length, 1);
      await one?.release();
      await other?.release();
    },
  },
];
