/** From a job to what one client of it does: the operations of a load, made one at a time. */
import type { KvClient } from './kv-client.ts';
import { type KvJob, keyOf } from './kv-job.ts';
import { random } from './random.ts';
import { InsertSequence, ycsbClient, ycsbMixes } from './ycsb.ts';

/** One operation; throws if it fails. */
export type Operation = () => Promise<void>;

/** New keys of each turn lie apart from those of the turns before, and those of each workload from those of others. */
const keysPerTurn = 10_000_000;
const keysPerWorkload = 1_000_000_000;

/** @returns what makes the operations of the client of that number */
export function operationsOf(client: KvClient, job: KvJob): (number: number) => Operation {
  const value = Buffer.alloc(job.valueBytes, 'w');
  const seedOf = (number: number): number => job.seed * 1_000_003 + number * 7919;
  const { operation } = job;
  switch (operation.kind) {
    case 'mix':
      return (number) => {
        const next = random(seedOf(number));
        return async () => {
          const key = keyOf(job, Math.floor(next() * job.keys));
          if (next() >= operation.readShare) await client.put(key, value);
          else if (!(await client.get(key))) throw new Error('a key is missing');
        };
      };
    case 'load': {
      let next = job.valueBytes * keysPerWorkload + job.seed * keysPerTurn;
      return () => () => client.put(keyOf(job, next++), value);
    }
    case 'scan':
      return (number) => {
        const next = random(seedOf(number));
        const last = job.keys - operation.entries;
        return async () => {
          const from = keyOf(job, Math.floor(next() * (last + 1)));
          const found = await client.scan(from, operation.entries);
          if (found !== operation.entries) throw new Error(`a scan found ${found} entries`);
        };
      };
    case 'ycsb': {
      const inserts = new InsertSequence(job.keys);
      const workload = Object.keys(ycsbMixes).indexOf(operation.name);
      const insertsFrom = workload * keysPerWorkload + job.seed * keysPerTurn;
      const recordKey = (record: number): Buffer =>
        keyOf(job, record < job.keys ? record : record + insertsFrom);
      return (number) =>
        ycsbClient({
          ...{ client, name: operation.name, records: job.keys, keyOf: recordKey },
          ...{ value, inserts, seed: seedOf(number) },
        });
    }
  }
}

/** Writes every key of the job once, so that reads find something. */
export async function fill(client: KvClient, job: KvJob, parallel: number): Promise<void> {
  const value = Buffer.alloc(job.valueBytes, 'v');
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < job.keys) await client.put(keyOf(job, next++), value);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}
