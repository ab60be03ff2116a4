import { expect, it } from 'vitest';
import type { KvClient } from './kv-client.ts';
import { InsertSequence, type YcsbName, ycsbClient, ycsbMixes } from './ycsb.ts';

/** Records 0 to n - 1 in memory, and how often each operation was asked for. */
class MemoryClient implements KvClient {
  readonly versions = new Map<string, number>();
  readonly asked = { put: 0, get: 0, scan: 0, putIfVersion: 0 };
  /** So many conditional puts find that somebody else was faster. */
  faster = 0;

  constructor(records: number) {
    for (let i = 0; i < records; i++) this.versions.set(keyOf(i).toString(), 1);
  }
  async put(key: Buffer): Promise<void> {
    this.asked.put++;
    this.versions.set(key.toString(), (this.versions.get(key.toString()) ?? 0) + 1);
  }
  async get(key: Buffer): Promise<boolean> {
    this.asked.get++;
    return this.versions.has(key.toString());
  }
  async version(key: Buffer): Promise<number | undefined> {
    return this.versions.get(key.toString());
  }
  async putIfVersion(key: Buffer, _value: Buffer, version: number): Promise<boolean> {
    this.asked.putIfVersion++;
    if (this.faster-- > 0 || this.versions.get(key.toString()) !== version) return false;
    this.versions.set(key.toString(), version + 1);
    return true;
  }
  async scan(start: Buffer, limit: number): Promise<number> {
    this.asked.scan++;
    return this.versions.has(start.toString()) ? limit : 0;
  }
  async close(): Promise<void> {}
}

const keyOf = (record: number): Buffer => Buffer.from(String(record).padStart(8, '0'));

function loadOf(name: YcsbName, client: MemoryClient, records: number): () => Promise<void> {
  const inserts = new InsertSequence(records);
  const value = Buffer.from('v');
  return ycsbClient({ ...{ client, name, records, keyOf, value, inserts }, seed: 7 });
}

it.each(Object.keys(ycsbMixes) as YcsbName[])('makes the mix of workload %s', async (name) => {
  const client = new MemoryClient(100);
  const operation = loadOf(name, client, 100);
  const total = 4000;
  for (let i = 0; i < total; i++) await operation();
  const { read = 0, update = 0, insert = 0, scan = 0, modify = 0 } = ycsbMixes[name];
  const percent = (n: number): number => (n / total) * 100;
  expect(Math.abs(percent(client.asked.get) - read)).toBeLessThan(3);
  expect(Math.abs(percent(client.asked.put) - update - insert)).toBeLessThan(3);
  expect(Math.abs(percent(client.asked.scan) - scan)).toBeLessThan(3);
  expect(Math.abs(percent(client.asked.putIfVersion) - modify)).toBeLessThan(3);
  expect(client.versions.size > 100).toBe(insert > 0);
});

it('makes a read-modify-write again when somebody was faster, and not for ever', async () => {
  const client = new MemoryClient(10);
  const operation = loadOf('f', client, 10);
  client.faster = 3;
  while (client.asked.putIfVersion === 0) await operation();
  expect(client.asked.putIfVersion).toBe(4);
  client.faster = Number.POSITIVE_INFINITY;
  await expect(
    (async () => {
      for (;;) await operation();
    })(),
  ).rejects.toThrow(/faster 100 times/);
});

it('says that a record is missing', async () => {
  const client = new MemoryClient(10);
  client.versions.clear();
  await expect(loadOf('c', client, 10)()).rejects.toThrow(/missing/);
});

it('takes an inserted record for there when all before it are', () => {
  const inserts = new InsertSequence(5);
  const [first, second, third] = [inserts.next(), inserts.next(), inserts.next()];
  inserts.acknowledge(second);
  expect(inserts.acknowledged).toBe(5);
  inserts.acknowledge(first);
  expect(inserts.acknowledged).toBe(7);
  inserts.acknowledge(third);
  expect(inserts.acknowledged).toBe(8);
});
