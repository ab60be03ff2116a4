/** What the log and LevelDB do by themselves, in this process. */
import { join } from 'node:path';
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
  let done = 0;
  let stopped = false;
  const rate = await measured(
    () => done,
    seconds,
    () => {
      const next = (): void => {
        done++;
        if (!stopped) log.append(bytes, next);
      };
      for (let i = 0; i < waiting; i++) log.append(bytes, next);
    },
  );
  const syncsPerSecond = (log.syncs / done) * rate.perSecond;
  stopped = true;
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
    let done = 0;
    let stopped = false;
    const rate = await measured(
      () => done,
      seconds,
      () => {
        const again = (): void => {
          done += batch;
          if (!stopped) void work().then(again);
        };
        void work().then(again);
      },
    );
    stopped = true;
    await work();
    return rate;
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

async function measured(done: () => number, seconds: number, begin: () => void): Promise<Rate> {
  begin();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [from, cpuFrom, doneFrom] = [performance.now(), process.cpuUsage(), done()];
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const { user, system } = process.cpuUsage(cpuFrom);
  const operations = done() - doneFrom;
  const perSecond = (operations / (performance.now() - from)) * 1000;
  return { perSecond, cpu: (user + system) / Math.max(1, operations) };
}
