import { DbError, kvPrefix, SeededPrng, SystemClock, valueBytesMax } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { createKv, type Kv, type KvScanOptions, kvKeyBytesMax } from './kv.ts';
import { MemoryRouter } from './testing/memory-router.ts';

async function keysOf(kv: Kv, options?: KvScanOptions): Promise<string[]> {
  const keys: string[] = [];
  for await (const entry of kv.scan(options)) keys.push(entry.keyText());
  return keys;
}

async function kvWith(...keys: readonly string[]): Promise<{ kv: Kv; router: MemoryRouter }> {
  const router = new MemoryRouter({ splitKeys: [Buffer.from('\x08m'), Buffer.from('\x09')] });
  const kv = createKv(router, { clock: new SystemClock(), prng: new SeededPrng(1) });
  for (const key of keys) await kv.put(key, `value of ${key}`);
  return { kv, router };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof DbError ? error.code : String(error)),
  );
}

describe('kv', () => {
  it('gives back what was put, as bytes and as text, with a version that rises', async () => {
    const { kv } = await kvWith();
    expect(await kv.get('ship')).toBeUndefined();
    const first = await kv.put('ship', 'Ære');
    const second = await kv.put(Buffer.from('ship'), Uint8Array.of(0, 255));
    if (!first.applied || !second.applied) throw new Error('unconditional puts apply');
    expect(second.version).toBeGreaterThan(first.version);
    const entry = await kv.get('ship');
    expect(entry?.keyText()).toBe('ship');
    expect([...(entry?.value ?? [])]).toEqual([0, 255]);
    expect(entry?.version).toBe(second.version);
    await kv.put('ship', 'Ære');
    expect((await kv.get('ship'))?.text()).toBe('Ære');
  });

  it('keeps its keys under its own prefix, the empty key included', async () => {
    const { kv, router } = await kvWith('');
    expect(router.writes[0]?.mutations[0]?.key).toEqual(Buffer.from(kvPrefix));
    expect(await keysOf(kv)).toEqual(['']);
    expect((await kv.getMany(['none', ''])).map((entry) => entry?.text())).toEqual([
      undefined,
      'value of ',
    ]);
    expect(await kv.getMany([])).toEqual([]);
  });

  it('writes on condition and says what it found instead', async () => {
    const { kv } = await kvWith();
    const created = await kv.put('n', '1', { ifAbsent: true });
    if (!created.applied) throw new Error('the key was absent');
    expect(await kv.put('n', '2', { ifAbsent: true })).toEqual({
      applied: false,
      foundVersion: created.version,
    });
    const changed = await kv.put('n', '2', { ifVersion: created.version });
    if (!changed.applied) throw new Error('the version was right');
    expect(await kv.put('n', '3', { ifVersion: created.version })).toEqual({
      applied: false,
      foundVersion: changed.version,
    });
    expect(await kv.delete('n', { ifVersion: created.version })).toMatchObject({ applied: false });
    expect(await kv.delete('n', { ifVersion: changed.version })).toMatchObject({ applied: true });
    expect(await kv.delete('n')).toMatchObject({ applied: true });
    expect(await kv.put('n', '4', { ifVersion: changed.version })).toEqual({
      applied: false,
      foundVersion: 0,
    });
    expect(await kv.put('n', '4', { ifVersion: 0 })).toMatchObject({ applied: true });
  });

  it('scans by prefix and bounds, both ways, over ranges, as far as asked', async () => {
    const { kv, router } = await kvWith('a', 'b1', 'b2', 'b3', 'c', 'n', 'z');
    await router.write({
      conditions: [],
      mutations: [{ kind: 'put', key: Uint8Array.of(9), value: Uint8Array.of() }],
      deleteSpans: [],
    });
    expect(await keysOf(kv)).toEqual(['a', 'b1', 'b2', 'b3', 'c', 'n', 'z']);
    expect(await keysOf(kv, { reverse: true, limit: 3 })).toEqual(['z', 'n', 'c']);
    expect(await keysOf(kv, { prefix: 'b' })).toEqual(['b1', 'b2', 'b3']);
    expect(await keysOf(kv, { prefix: 'b', start: 'b2' })).toEqual(['b2', 'b3']);
    expect(await keysOf(kv, { prefix: 'b', end: 'b3', reverse: true })).toEqual(['b2', 'b1']);
    expect(await keysOf(kv, { start: 'b3', end: 'n' })).toEqual(['b3', 'c']);
    expect(await keysOf(kv, { start: 'n', end: 'b3' })).toEqual([]);
    expect(await keysOf(kv, { prefix: 'b', start: 'c' })).toEqual([]);
    expect(await keysOf(kv, { limit: 0 })).toEqual([]);
  });

  it('updates by compare and set, again where somebody was faster', async () => {
    const { kv, router } = await kvWith();
    const add = (entry: { text(): string } | undefined): string =>
      `${Number(entry?.text() ?? 0) + 1}`;
    const all = await Promise.all(Array.from({ length: 8 }, () => kv.update('n', add)));
    expect((await kv.get('n'))?.text()).toBe('8');
    expect(all.some(({ retries }) => retries > 0)).toBe(true);
    const writes = router.writes.length;
    const { version } = (await kv.get('n')) ?? { version: -1 };
    expect(await kv.update('n', () => undefined)).toMatchObject({ version, retries: 0 });
    expect(await kv.update('none', () => null)).toEqual({
      ...{ value: undefined, version: 0, retries: 0 },
    });
    expect(router.writes).toHaveLength(writes);
    expect(await kv.update('n', async () => null)).toMatchObject({ value: undefined, version: 0 });
    expect(await kv.get('n')).toBeUndefined();
  });

  it('gives an update up after its retries, and never runs it again after an unknown outcome', async () => {
    const { kv, router } = await kvWith('n');
    const meddle = async (): Promise<string> => {
      await kv.put('n', 'other');
      return 'mine';
    };
    expect(await codeOf(kv.update('n', meddle, { retries: 2 }))).toBe('CONFLICT');
    const error = new DbError('OUTCOME_UNKNOWN', 'lost', { outcome: 'unknown' });
    router.failWrite({ error, applied: true });
    let runs = 0;
    await expect(kv.update('n', () => `${++runs}`)).rejects.toBe(error);
    expect(runs).toBe(1);
  });

  it('refuses misuse with a code', async () => {
    const { kv, router } = await kvWith();
    expect(await codeOf(kv.put('a', 'b', { ifAbsent: true, ifVersion: 1 }))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(await codeOf(kv.put('a', 'b', { ifVersion: -1 }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(kv.delete('a', { ifAbsent: true }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(kv.get('\ud800'))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(keysOf(kv, { limit: -1 }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(kv.put('a'.repeat(kvKeyBytesMax + 1), ''))).toBe('TOO_LARGE');
    expect(await codeOf(kv.put('a', new Uint8Array(valueBytesMax + 1)))).toBe('TOO_LARGE');
    expect(router.writes).toHaveLength(0);
    expect(await codeOf(kv.put('a'.repeat(kvKeyBytesMax), ''))).toBe('resolved');
  });

  it('passes an unknown outcome on and does not try again', async () => {
    const { kv, router } = await kvWith();
    const error = new DbError('OUTCOME_UNKNOWN', 'lost', { outcome: 'unknown' });
    router.failWrite({ error, applied: true });
    await expect(kv.put('a', '1', { ifAbsent: true })).rejects.toBe(error);
    expect(router.writes).toHaveLength(1);
    await router.close();
    expect(await codeOf(kv.get('a'))).toBe('CLOSED');
  });
});
