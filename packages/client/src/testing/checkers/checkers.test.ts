import { describe, expect, it } from 'vitest';
import { checkLinearizable } from './linearizability.ts';
import { checkRegisterZones, type RegisterOperation, registerModel } from './register.ts';
import { checkSet } from './set.ts';

const write = (value: string, calledAt: number, returnedAt: number): RegisterOperation => ({
  process: 'w',
  input: { kind: 'write', value },
  calledAt,
  result: { kind: 'ok', output: { kind: 'written' }, returnedAt },
});
const read = (
  value: string | undefined,
  calledAt: number,
  returnedAt: number,
): RegisterOperation => ({
  process: 'r',
  input: { kind: 'read' },
  calledAt,
  result: { kind: 'ok', output: { kind: 'value', value }, returnedAt },
});

describe('linearizability', () => {
  const stale = [write('1', 0, 1), write('2', 2, 3), read('1', 4, 5)];
  const backwards = [write('1', 0, 1), write('2', 2, 9), read('2', 3, 4), read('1', 5, 6)];
  const overlapping = [write('1', 0, 1), write('2', 2, 9), read('1', 3, 4), read('2', 5, 6)];

  it.each([
    ['a read of an overwritten value', stale, 'violation'],
    ['two reads that go back in time', backwards, 'violation'],
    ['reads during a write that see it happen', overlapping, 'ok'],
    ['nothing', [], 'ok'],
  ] as const)('%s', (_title, history, verdict) => {
    expect(checkLinearizable(registerModel, history).kind).toBe(verdict);
    expect(checkRegisterZones(history).kind).toBe(verdict);
  });

  it('says that it does not know when its budget is spent', () => {
    const writes = Array.from({ length: 14 }, (_, index) => write(`v${index}`, 0, 100));
    const history = [...writes, read('none of them', 1, 99)];
    expect(checkLinearizable(registerModel, history, 1000).kind).toBe('unknown');
  });

  it('judges thousands of operations of a few clients in a moment', () => {
    const history: RegisterOperation[] = [];
    for (let i = 0; i < 3000; i++) {
      history.push(write(`v${i}`, 10 * i, 10 * i + 8));
      for (let reader = 0; reader < 3; reader++)
        history.push(read(`v${i}`, 10 * i + 1 + reader, 10 * i + 9 + reader));
    }
    expect(checkLinearizable(registerModel, history).kind).toBe('ok');
    history.push(read('v2998', 30_000, 30_001));
    expect(checkLinearizable(registerModel, history).kind).toBe('violation');
  });
});

describe('sets', () => {
  it('finds what was lost, invented or doubled, and allows the unknown', () => {
    const acknowledged = ['a', 'b'];
    expect(checkSet({ acknowledged, unknown: ['c', 'd'], found: ['a', 'b', 'c'] }).kind).toBe('ok');
    for (const [found, what] of [
      [['a'], '1 lost: b'],
      [['a', 'b', 'x'], '1 unexpected: x'],
      [['a', 'b', 'b'], '1 doubled: b'],
    ] as const)
      expect(checkSet({ acknowledged, unknown: [], found })).toEqual({
        kind: 'violation',
        message: what,
      });
  });
});
