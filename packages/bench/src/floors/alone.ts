/** What the log and LevelDB do by themselves, in this process. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClassicLevel } from 'classic-level';
import { operationBytes } from './frames.ts';
import { Log } from './log.ts';

export interface Rate {
  readonly perSecond: number;
  /** Of this process. Unit: microseconds per operation. */
  readonly cpu: number;
}

const keys = 10_000;

/** Appends of one operation each, so many always waiting for their sync. */
export async function appendAlone(
  directory: string,
  waiting: number,
  seconds: number,
): Promise<Rate & { readonly syncsPerSecond: number }> {
  const log = await Log.open(join(directory, 'alone'));
  const bytes = Buffer.alloc(operationBytes, 7);
  const { total, ...rate } = await measured({ waiting, each: 1, seconds }, (done) =>
    log.append(bytes, done),
  );
  const syncsPerSecond = (log.syncs / total) * rate.perSecond;
  await log.close();
  return { ...rate, syncsPerSecond };
}

/** Batches of puts, and of gets, of so many keys at random. */
export async function levelAlone(
  directory: string,
  batch: number,
  seconds: number,
): Promise<{ readonly put: Rate; readonly get: Rate }> {
  const level = new ClassicLevel<Buffer, Buffer>(join(directory, `alone-${batch}`), {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
  });
  await level.open();
  const value = Buffer.alloc(64, 7);
  const keyOf = (number: number): Buffer => Buffer.from(String(number).padStart(64, '0'));
  const names = Array.from({ length: keys }, (_, number) => keyOf(number));
  let at = 0;
  const next = (): Buffer => {
    at = (at + 7919) % keys;
    return names[at] ?? value;
  };
  const run = async (work: () => Promise<unknown>): Promise<Rate> => {
    const { perSecond, cpu } = await measured({ waiting: 1, each: batch, seconds }, (done) => {
      void work().then(done);
    });
    return { perSecond, cpu };
  };
  const put = await run(() => {
    const writes = level.batch();
    for (let i = 0; i < batch; i++) writes.put(next(), value);
    return writes.write();
  });
  const get = await run(() => level.getMany(Array.from({ length: batch }, next)));
  await level.close();
  return { put, get };
}

interface Load {
  /** Calls under way at any time. */
  readonly waiting: number;
  /** Operations of one call. */
  readonly each: number;
  readonly seconds: number;
}

/** Calls `work` again as soon as it is done. @returns what was measured, and all operations; nothing is under way then */
async function measured(
  { waiting, each, seconds }: Load,
  work: (done: () => void) => void,
): Promise<Rate & { readonly total: number }> {
  let total = 0;
  let left = waiting;
  let stopped = false;
  let allDone: () => void = () => {};
  const end = new Promise<void>((resolve) => {
    allDone = resolve;
  });
  const next = (): void => {
    total += each;
    if (!stopped) work(next);
    else if (--left === 0) allDone();
  };
  for (let i = 0; i < waiting; i++) work(next);
  await sleep(500);
  const [from, cpuFrom, totalFrom] = [performance.now(), process.cpuUsage(), total];
  await sleep(seconds * 1000);
  const { user, system } = process.cpuUsage(cpuFrom);
  const operations = total - totalFrom;
  const perSecond = (operations / (performance.now() - from)) * 1000;
  stopped = true;
  await end;
  return { perSecond, cpu: (user + system) / Math.max(1, operations), total };
}
