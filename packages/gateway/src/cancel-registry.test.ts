import { InvariantViolation } from '@flotilla/base';
import { expect, test } from 'vitest';
import { CancelRegistry } from './cancel-registry.ts';

test('keys are positive, of this gateway, and never twice at a time', () => {
  const registry = new CancelRegistry(1023);
  const keys = Array.from({ length: 1_000 }, () => registry.register(() => {}));
  expect(new Set(keys.map(({ processId }) => processId)).size).toBe(1_000);
  for (const { processId } of keys) {
    expect(processId).toBeGreaterThan(0);
    expect(processId).toBeLessThan(2 ** 31);
    expect(processId >>> 21).toBe(1023);
  }
  expect(new Set(keys.map(({ secret }) => secret.toString('hex'))).size).toBeGreaterThan(990);
});

test('a key works until it is given back', () => {
  const registry = new CancelRegistry(0);
  let cancelled = 0;
  const key = registry.register(() => cancelled++);
  expect(registry.cancel(key.processId, key.secret)).toBe('cancelled');
  expect(registry.cancel(key.processId, Buffer.alloc(3))).toBe('wrong_key');
  registry.unregister(key);
  expect(registry.cancel(key.processId, key.secret)).toBe('wrong_key');
  expect(cancelled).toBe(1);
  expect(registry.size).toBe(0);
});

test('a gateway id has ten bits', () => {
  expect(() => new CancelRegistry(1024)).toThrow(InvariantViolation);
  expect(() => new CancelRegistry(-1)).toThrow(InvariantViolation);
});
